// The protocol number, raised on any incompatible change of the messages between host and worker.
export const PROTOCOL_VERSION = 1;
