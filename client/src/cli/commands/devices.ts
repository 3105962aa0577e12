// `bitwright devices`: what the worker can compute on, and why not where it cannot.
import { bytesText } from '../../../../schemas/src/bytes-text.js';
import { exitCode, jsonOption, type Command } from '../command.js';
import { startWorkerProcess } from '../processes.js';

export const devicesCommand: Command = {
  name: 'devices',
  synopsis: '',
  summary: 'List the devices that a run can use.',
  description:
    'A device that cannot be used is listed with the reason. A recipe or --device says cuda for all CUDA devices, or names some as they stand here: cuda:0 or cuda:0,1. Calibration rows and layers are spread over several.',
  operands: { least: 0, most: 0 },
  options: { json: jsonOption },
  run: async (invocation, terminal) => {
    const worker = await startWorkerProcess(() => undefined);
    try {
      const devices = await worker.devices();
      if (invocation.flag('json')) {
        terminal.json(devices);
        return exitCode.success;
      }
      for (const device of devices) {
        const facts = [
          ...(device.memory_bytes === null ? [] : [`${bytesText(device.memory_bytes)} memory`]),
          ...(device.compute_capability === null ? [] : [`compute capability ${device.compute_capability}`]),
        ];
        terminal.out(`${device.kind}:${device.index}  ${[device.name, ...facts].join(', ')}`);
        if (!device.usable) terminal.out(`  not usable: ${device.reason ?? 'the worker gave no reason'}`);
        for (const [name, value] of Object.entries(device.details)) terminal.out(`  ${name}: ${value}`);
      }
      return exitCode.success;
    } finally {
      await worker.dispose();
    }
  },
};
