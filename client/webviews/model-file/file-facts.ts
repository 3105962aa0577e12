// What a model file says of itself, above the table of its tensors: facts, problems, metadata.
import type { ModelFileFacts } from '../../../schemas/src/protocol/model-file-page.js';
import { draw, type Drawing } from '../plot/element.js';

export function drawFacts(name: string, { format, facts, problems, metadata }: ModelFileFacts): Drawing[] {
  return [
    draw('h1', {}, name, draw('span', { class: 'format' }, format)),
    ...(problems.length === 0
      ? []
      : [draw('ul', { class: 'problems', 'aria-label': 'Problems' }, ...problems.map((problem) => draw('li', {}, problem)))]),
    draw('dl', { class: 'facts' }, ...facts.flatMap((fact) => [draw('dt', {}, fact.name), draw('dd', {}, fact.value)])),
    draw(
      'details',
      {},
      draw('summary', {}, `Metadata (${metadata.length})`),
      metadata.length === 0
        ? draw('p', { class: 'quiet' }, 'The file holds none.')
        : draw(
            'div',
            { class: 'metadata', tabindex: 0, role: 'region', 'aria-label': 'Metadata' },
            draw(
              'table',
              {},
              draw(
                'tbody',
                {},
                ...metadata.map(({ key, value }) => draw('tr', {}, draw('th', { scope: 'row' }, key), draw('td', {}, value))),
              ),
            ),
          ),
    ),
  ];
}

export const drawUnreadable = (name: string, message: string): Drawing[] => [
  draw('h1', {}, name),
  draw('p', { class: 'problems', role: 'alert' }, message),
];
