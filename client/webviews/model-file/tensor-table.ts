// The table of tensors: its rows, those that are chosen and the one of the keyboard. Only the rows on screen are drawn.
import { readNameFilter } from '../../../schemas/src/name-filter.js';
import { LAYERS_MIME, type FileTensor } from '../../../schemas/src/protocol/model-file-page.js';
import { element, page } from '../page-parts.js';
import { toDom } from '../plot/element.js';
import { drawRow } from './page.js';
import { rowAfterKey, rowsOf, visibleRows, type TensorOrder } from './tensor-rows.js';

export interface TableParts {
  /** Other rows are chosen, or the keyboard is at another. */
  onChoice(): void;
  /** The statistics of the tensor at the keyboard are asked for. */
  inspect(): void;
}

export interface RowOrder {
  filter: string;
  order: TensorOrder;
}

/** As the style sheet has it: two lines in a narrow panel. */
const rowHeight = (): number => (window.matchMedia('(max-width: 620px)').matches ? 44 : 24);

const rowAt = (target: EventTarget | null): HTMLElement | null =>
  target instanceof Element ? target.closest<HTMLElement>('[data-row]') : null;
const rowOf = (row: number): HTMLElement | null => document.querySelector<HTMLElement>(`#rows [data-row="${row}"]`);

export class TensorTable {
  private tensors: readonly FileTensor[] = [];
  /** Indices of tensors in the order shown, the chosen among all, and the row of the keyboard. */
  private rows: number[] = [];
  private readonly chosen = new Set<number>();
  private active = 0;
  /** Where a range of chosen rows began. */
  private anchor = 0;

  constructor(private readonly parts: TableParts) {
    this.wire();
  }

  /** The tensors of a file, in the page as it was just drawn, with what was chosen of them by name. */
  show(tensors: readonly FileTensor[], order: RowOrder, chosen: readonly string[], active: string | null): void {
    this.tensors = tensors;
    element('grid').addEventListener('scroll', () => this.draw(), { passive: true });
    const indices = new Map(tensors.map(({ name }, index) => [name, index]));
    this.chosen.clear();
    for (const name of chosen) if (indices.has(name)) this.chosen.add(indices.get(name)!);
    this.sort(order);
    this.active = this.anchor = Math.max(0, active === null ? -1 : this.rows.indexOf(indices.get(active) ?? -1));
    this.draw();
  }

  /** Other rows or another order; the keyboard stays at its tensor where that is still there. */
  arrange(order: RowOrder): void {
    const before = this.rows[this.active];
    this.sort(order);
    this.active = this.anchor = Math.max(0, this.rows.indexOf(before ?? -1));
    element('grid').scrollTop = 0;
    this.draw();
  }

  get activeTensor(): FileTensor | undefined {
    return this.tensorAt(this.active);
  }

  get isActiveChosen(): boolean {
    return this.chosen.has(this.rows[this.active] ?? -1);
  }

  get nChosen(): number {
    return this.chosen.size;
  }

  /** Names of the chosen tensors, `most` of them, in the order of the file. */
  chosenNames(most = Infinity): string[] {
    return [...this.chosen]
      .slice(0, most)
      .sort((a, b) => a - b)
      .flatMap((index) => this.tensors[index]?.name ?? []);
  }

  draw(): void {
    const grid = element('grid');
    const height = rowHeight();
    const { first, last } = visibleRows(this.rows.length, height, grid.scrollTop, grid.clientHeight);
    const body = element('rows');
    const hadFocus = document.activeElement?.classList.contains('row') === true && body.contains(document.activeElement);
    // Set by script, as the policy of the page takes no styles in its text.
    body.style.height = `${this.rows.length * height}px`;
    const drawn = [...Array(Math.max(0, last - first)).keys()].map((i) => first + i);
    // The row of the keyboard keeps the focus while it is scrolled out of view.
    if (this.rows.length > 0 && (this.active < first || this.active >= last)) drawn.push(this.active);
    body.replaceChildren(...drawn.map((row) => this.rowElement(row, height)));
    if (hadFocus) rowOf(this.active)?.focus({ preventScroll: true });
  }

  private rowElement(row: number, height: number): Element {
    const state = { isChosen: this.chosen.has(this.rows[row]!), isActive: row === this.active };
    const drawn = toDom(document, drawRow(this.tensorAt(row)!, row, state)) as HTMLElement;
    drawn.style.transform = `translateY(${row * height}px)`;
    return drawn;
  }

  private tensorAt(row: number): FileTensor | undefined {
    return this.tensors[this.rows[row] ?? -1];
  }

  private sort({ filter: typed, order }: RowOrder): void {
    const filter = readNameFilter(typed);
    this.rows = rowsOf(this.tensors, filter, order);
    const total = this.tensors.length.toLocaleString('en-US');
    const text =
      this.rows.length === this.tensors.length ? `${total} tensors` : `${this.rows.length.toLocaleString('en-US')} of ${total} tensors`;
    element('count').textContent = 'error' in filter ? filter.error : text;
    element('filter').setAttribute('aria-invalid', String('error' in filter));
    element('grid').setAttribute('aria-rowcount', String(this.rows.length + 1));
    for (const head of document.querySelectorAll<HTMLElement>('[data-head]')) {
      const isSorted = head.dataset['head'] === order.key;
      head.setAttribute('aria-sort', isSorted ? (order.descending ? 'descending' : 'ascending') : 'none');
    }
  }

  /** Rows between the anchor and a row, or that row alone, or that row changed. */
  private choose(row: number, how: 'alone' | 'range' | 'toggle'): void {
    const index = this.rows[row];
    if (index === undefined) return;
    if (how === 'toggle') {
      if (!this.chosen.delete(index)) this.chosen.add(index);
      this.anchor = row;
    } else {
      this.chosen.clear();
      if (how === 'alone') this.anchor = row;
      for (let i = Math.min(this.anchor, row); i <= Math.max(this.anchor, row); i += 1) this.chosen.add(this.rows[i]!);
    }
    this.moveTo(row);
  }

  private moveTo(row: number): void {
    this.active = row;
    const grid = element('grid');
    const height = rowHeight();
    const head = grid.querySelector('.head')?.clientHeight ?? 0;
    if (row * height < grid.scrollTop) grid.scrollTop = row * height;
    else if ((row + 1) * height > grid.scrollTop + grid.clientHeight - head) grid.scrollTop = (row + 1) * height - grid.clientHeight + head;
    this.draw();
    this.parts.onChoice();
    rowOf(row)?.focus({ preventScroll: true });
  }

  private wire(): void {
    page.addEventListener('click', (event) => {
      const row = rowAt(event.target)?.dataset['row'];
      if (row !== undefined) this.choose(Number(row), event.shiftKey ? 'range' : event.ctrlKey || event.metaKey ? 'toggle' : 'alone');
    });
    page.addEventListener('dblclick', (event) => {
      if (rowAt(event.target) !== null) this.parts.inspect();
    });
    page.addEventListener('keydown', (event) => {
      // The first key after the filter leads into the table.
      const enters = event.target instanceof Element && event.target.id === 'filter' && event.key === 'ArrowDown' && this.rows.length > 0;
      if (enters) this.choose(this.active, 'alone');
      else if (rowAt(event.target) === null || !this.onKey(event)) return;
      event.preventDefault();
    });
    page.addEventListener('dragstart', (event) => {
      const row = rowAt(event.target)?.dataset['row'];
      if (row === undefined || event.dataTransfer === null) return;
      if (!this.chosen.has(this.rows[Number(row)] ?? -1)) this.choose(Number(row), 'alone');
      event.dataTransfer.setData(LAYERS_MIME, JSON.stringify(this.chosenNames()));
      event.dataTransfer.setData('text/plain', this.chosenNames().join('\n'));
      event.dataTransfer.effectAllowed = 'copy';
    });
  }

  /** Whether the key means something in a row. */
  private onKey({ key, shiftKey, ctrlKey, metaKey }: KeyboardEvent): boolean {
    const visible = Math.max(1, Math.floor(element('grid').clientHeight / rowHeight()) - 2);
    const next = rowAfterKey(key, this.active, this.rows.length, visible);
    if (next !== null && (ctrlKey || metaKey)) this.moveTo(next);
    else if (next !== null) this.choose(next, shiftKey ? 'range' : 'alone');
    else if (key === ' ') this.choose(this.active, ctrlKey || metaKey ? 'toggle' : 'alone');
    else if (key === 'Enter') {
      if (!this.isActiveChosen) this.choose(this.active, 'alone');
      this.parts.inspect();
    } else if (key === 'a' && (ctrlKey || metaKey)) {
      for (const index of this.rows) this.chosen.add(index);
      this.moveTo(this.active);
    } else return false;
    return true;
  }
}
