// The path of a file: URI.
import { fileURLToPath } from 'node:url';

/** null for other schemes, and for file: URIs that name no file of this machine. */
export function filePathOf(uri: string): string | null {
  if (!uri.startsWith('file:')) return null;
  try {
    return fileURLToPath(uri);
  } catch {
    return null; // another host, or an encoded slash: as good as not saved
  }
}
