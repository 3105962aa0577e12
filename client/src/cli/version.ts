// The version of this build, put in by the bundler.
declare const BITWRIGHT_VERSION: string | undefined;

export const version = typeof BITWRIGHT_VERSION === 'undefined' ? 'unbundled' : BITWRIGHT_VERSION;
