// The browser end of the typed channel to the extension.

declare function acquireVsCodeApi(): { postMessage(message: unknown): void; getState(): unknown; setState(state: unknown): void };

export interface Channel<From> {
  send(message: From): void;
  /** Survives the page being hidden and loaded again. */
  loadState(): unknown;
  saveState(state: unknown): void;
}

/** Messages of another shape, for which `read` has null, are not from the extension and are dropped. What fails on the page is sent as a `page-error`. */
export function openChannel<To, From>(read: (value: unknown) => To | null, receive: (message: To) => void): Channel<From | PageError> {
  const api = acquireVsCodeApi();
  window.addEventListener('message', (event: MessageEvent<unknown>) => {
    const message = read(event.data);
    if (message !== null) receive(message);
  });
  const send = (message: From | PageError): void => api.postMessage(message);
  window.addEventListener('error', (event) => send({ kind: 'page-error', message: event.message }));
  return { send, loadState: () => api.getState(), saveState: (state) => api.setState(state) };
}

interface PageError {
  kind: 'page-error';
  message: string;
}
