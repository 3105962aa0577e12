// A tensor on another device: its bytes travel through the memory of the host, whatever the two devices are.
import { reshape } from './operations/storage.js';
import type { Device, Tensor } from './tensor.js';

/** The caller's; on its own device the storage is shared. */
export async function copyTo(tensor: Tensor, device: Device): Promise<Tensor> {
  if (tensor.device === device) return reshape(tensor, tensor.shape);
  return device.fromBytes(tensor.dtype, tensor.shape, await tensor.read());
}
