// The fence around each request: a bug is logged and answered as empty; with BITWRIGHT_STRICT=1, as the tests set it, it is answered as an error.
import { LSPErrorCodes, ResponseError, type CancellationToken } from 'vscode-languageserver/node';

export interface Fence {
  /** For editor features: a bug answers `empty`. */
  feature<Params, Result>(
    name: string,
    empty: Result,
    work: (params: Params) => Promise<Result> | Result,
  ): (params: Params, token: CancellationToken) => Promise<Result | ResponseError>;
  /** For requests of our own hosts: a bug answers an error, which the host shows. */
  request<Params, Result>(
    name: string,
    work: (params: Params) => Promise<Result>,
  ): (params: Params, token: CancellationToken) => Promise<Result | ResponseError>;
  /** For work that nobody waits for. */
  background(name: string, work: () => Promise<void>): void;
}

export function createFence(log: (message: string) => void, strict: boolean): Fence {
  const report = (name: string, error: unknown): void => log(`Bug in ${name}: ${error instanceof Error ? error.stack : String(error)}`);
  const cancellable = <Result>(name: string, result: Result, token: CancellationToken): Result | ResponseError =>
    token.isCancellationRequested ? new ResponseError(LSPErrorCodes.RequestCancelled, `${name} was cancelled`) : result;
  return {
    feature: (name, empty, work) => async (params, token) => {
      try {
        return cancellable(name, await work(params), token);
      } catch (error) {
        // A refusal that the feature means, for the user to read.
        if (error instanceof ResponseError) return error;
        report(name, error);
        if (strict) throw error;
        return empty;
      }
    },
    request: (name, work) => async (params, token) => {
      try {
        return cancellable(name, await work(params), token);
      } catch (error) {
        report(name, error);
        throw error;
      }
    },
    background: (name, work) => {
      work().catch((error: unknown) => {
        report(name, error);
        if (strict) process.exit(70);
      });
    },
  };
}
