// The browser end of the typed channel to the extension.
import type { FromWebview, ToWebview } from '../../schemas/src/protocol/client-webview.js';

declare function acquireVsCodeApi(): { postMessage(message: FromWebview): void; getState(): unknown; setState(state: unknown): void };

export interface Channel {
  send(message: FromWebview): void;
  /** Survives the page being hidden and loaded again. */
  loadState(): unknown;
  saveState(state: unknown): void;
}

const kinds: readonly ToWebview['kind'][] = [
  'show-report',
  'reveal-layer',
  'show-analysis',
  'show-rules',
  'highlight-layers',
  'show-comparison',
];

/** Messages of another shape are not from the extension and are dropped. */
export function openChannel(receive: (message: ToWebview) => void): Channel {
  const api = acquireVsCodeApi();
  window.addEventListener('message', (event: MessageEvent<unknown>) => {
    const message = event.data as ToWebview | null;
    if (typeof message === 'object' && message !== null && kinds.includes(message.kind)) receive(message);
  });
  return { send: (message) => api.postMessage(message), loadState: () => api.getState(), saveState: (state) => api.setState(state) };
}
