// Walks through a file from front to back in ranges, for readers of headers: any size of file, little memory, and no claim of a length is believed beyond the file's end.
import type { ModelFiles } from './model-files.js';
import { HeaderError } from './safetensors-header.js';

/** Bytes read at once: a header of tens of megabytes is a few dozen reads, a small one is one. */
const window = 1 << 20;
const longestText = 1 << 20;
const decoder = new TextDecoder('utf-8');

export class RangeCursor {
  private bytes: Uint8Array = new Uint8Array(0);
  private view: DataView = new DataView(this.bytes.buffer);
  /** File position of the window's first byte, and the next byte within it. */
  private start = 0;
  private at = 0;
  littleEndian = true;

  constructor(
    private readonly files: ModelFiles,
    private readonly file: string,
    readonly name: string,
    readonly size: number,
  ) {}

  get position(): number {
    return this.start + this.at;
  }

  get left(): number {
    return this.size - this.position;
  }

  /** Whether the next n bytes can be taken at once. */
  has(n: number): boolean {
    return this.at + n <= this.bytes.length;
  }

  /** Makes the next n bytes ready to be taken; `what` names them for the words about a file that ends before. */
  async need(n: number, what: string): Promise<void> {
    if (this.has(n)) return;
    if (n > this.left)
      throw new HeaderError(
        this.name,
        `${what} at byte ${this.position} needs ${n} bytes, and the file of ${this.size} has only ${this.left} left: it is truncated or damaged`,
      );
    const position = this.position;
    const length = Math.min(Math.max(n, window), this.size - position);
    const bytes = await this.files.readRange(this.file, position, length);
    if (bytes.length < n)
      throw new HeaderError(this.name, `the file ends at byte ${position + bytes.length} while it is read, before ${what} is whole`);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.start = position;
    this.at = 0;
  }

  /** Steps over n bytes without reading them. */
  skip(n: number, what: string): void {
    if (n > this.left)
      throw new HeaderError(
        this.name,
        `${what} at byte ${this.position} claims ${n} bytes, and the file of ${this.size} has only ${this.left} left: it is truncated or damaged`,
      );
    this.at += n;
    if (this.at <= this.bytes.length) return;
    this.start += this.at;
    this.at = 0;
    this.bytes = new Uint8Array(0);
  }

  /** What follows takes from what `need` has made ready. */
  take(n: number): Uint8Array {
    const part = this.bytes.subarray(this.at, this.at + n);
    this.at += n;
    return part;
  }

  /** A text of n bytes, of which a very long one is cut: only its beginning is ever shown. */
  async text(n: number, what: string): Promise<string> {
    const kept = Math.min(n, longestText);
    if (!this.has(kept)) await this.need(kept, what);
    // Vocabularies hold pieces of characters: what is no UTF-8 is shown with marks.
    const text = decoder.decode(this.take(kept));
    if (kept === n) return text;
    this.skip(n - kept, what);
    return `${text}…`;
  }

  /** A number of the view at the cursor; `read` is told where and in which byte order. */
  number<T extends number | bigint>(n: number, read: (view: DataView, at: number, littleEndian: boolean) => T): T {
    const value = read(this.view, this.at, this.littleEndian);
    this.at += n;
    return value;
  }
}
