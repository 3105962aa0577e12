// What one file of weights holds, whichever of the three formats it has, from its header alone.
import path from 'node:path';
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { readModelFile } from '../../../schemas/src/model/model-file.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { HeaderError } from '../../../schemas/src/model/safetensors-header.js';
import type { ModelFileFacts } from '../../../schemas/src/protocol/model-file-page.js';
import { table } from './format-text.js';
import { groupByName } from './name-groups.js';
import { HostError } from './processes.js';
import type { Terminal } from './terminal.js';

export async function inspectFile(file: string, json: boolean, terminal: Terminal): Promise<void> {
  const read = await readModelFile(nodeFiles, file, path.basename(file)).catch((error: unknown) => {
    throw error instanceof HeaderError ? new HostError(`${file} is not sound: ${error.detail}. Download or export it again.`) : error;
  });
  for (const problem of read.problems) terminal.err(`warning  ${problem}`);
  if (json) terminal.json(read);
  else for (const line of fileLines(path.resolve(file), read)) terminal.out(line);
}

function fileLines(file: string, { facts, tensors }: ModelFileFacts): string[] {
  const width = Math.max(...facts.map(({ name }) => name.length));
  const groups = groupByName(
    tensors,
    ({ name }) => name,
    ({ dtype, shape }) => JSON.stringify([dtype, shape]),
  );
  return [
    file,
    ...facts.map(({ name, value }) => `${name.padEnd(width)}  ${value}`),
    '',
    ...table(
      [
        { title: 'tensor', align: 'left' },
        { title: 'type', align: 'left' },
        { title: 'shape', align: 'right' },
        { title: 'size', align: 'right' },
      ],
      groups.map(({ name, items }) => [
        name,
        items[0]?.dtype ?? '',
        items[0]?.shape.join(' × ') ?? '',
        items.some(({ bytes }) => bytes === null) ? '–' : bytesText(items.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0)),
      ]),
    ),
  ];
}
