// What a run takes beside the tensors of its model, the same in the estimate before it and in the limits during it.
/** Node with the worker's code, the addon with its BLAS, the thread that hashes files, and small layers through all of it: 100 to 116 MB, measured with models of 1 MB. */
export const processBytes = 116e6;
