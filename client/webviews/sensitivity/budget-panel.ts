// The bits under a budget in the page: the slider, the curve, and in words what the choice comes to.
import { AllocationError } from '../../../schemas/src/allocate-bits.js';
import { bytesText } from '../../../schemas/src/bytes-text.js';
import type { SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import { bestMetric } from '../../../schemas/src/suggest-bits.js';
import { element, fill } from '../page-parts.js';
import { trim } from '../report/metrics.js';
import { budgetOf, drawCurve, lossText, type Budget } from './budget.js';
import type { PageState } from './state.js';

export interface BudgetParts {
  analysis(): SensitivityAnalysis | null;
  choice(): Pick<PageState, 'budget' | 'loss'>;
  /** Bits that the recipe gives. */
  recipeBits(): Map<string, number | null>;
  onSolved(): void;
}

export interface BudgetPanel {
  /** Bits of the layers where the slider stands; null until the curve is known. */
  chosenBits(): Map<string, number> | null;
  show(): void;
  /** The analysis or the loss is another. */
  forget(): void;
}

export function createBudgetPanel({ analysis, choice, recipeBits, onSolved }: BudgetParts): BudgetPanel {
  let solved: Budget | null = null;
  let solving = 0;

  const chosenOf = (budget: Budget): ReturnType<Budget['at']> => budget.at(choice().budget ?? (budget.least + budget.most) / 2);

  /** The curve of a large model takes a moment: the heatmap is on the screen before. */
  function solveSoon(): void {
    clearTimeout(solving);
    element('budget-text').textContent = 'Solving …';
    solving = window.setTimeout(() => {
      const shown = analysis();
      if (shown === null) return;
      try {
        solved = budgetOf(shown, choice().loss ?? bestMetric(shown));
      } catch (error) {
        if (!(error instanceof AllocationError)) throw error;
        element('budget-text').textContent = `There is no such choice: ${error.message}.`;
        return;
      }
      show();
      onSolved();
    }, 50);
  }

  function show(): void {
    const shown = analysis();
    if (shown === null) return;
    if (solved === null) return solveSoon();
    const metric = choice().loss ?? bestMetric(shown);
    element<HTMLSelectElement>('loss').value = metric;
    const slider = element<HTMLInputElement>('budget');
    // Whole hundredths, the smallest choice among them.
    slider.min = (Math.floor(solved.least * 100) / 100).toFixed(2);
    slider.max = (Math.ceil(solved.most * 100) / 100).toFixed(2);
    const chosen = chosenOf(solved);
    const wanted = Math.min(Math.max(choice().budget ?? chosen.bitsPerWeight, Number(slider.min)), Number(slider.max));
    slider.value = wanted.toFixed(2);
    element('budget-value').textContent = wanted.toFixed(2);
    const present = solved.of(recipeBits());
    const width = Math.max(240, element('curve').clientWidth);
    fill('curve', drawCurve(solved, chosen, present, { width, height: width < 500 ? 190 : 230 }));
    const counts = shown.bits.map((bit) => [bit, [...chosen.bits.values()].filter((bits) => bits === bit).length] as const);
    const parts = counts.filter(([, count]) => count > 0).map(([bit, count]) => `${count} × ${bit}`);
    element('budget-text').textContent =
      `${chosen.bitsPerWeight.toFixed(3)} bits per weight, ${bytesText(chosen.bytes)}; predicted loss ${trim(chosen.loss)} (${lossText(metric)}). Layers × bits: ${parts.join(', ')}.` +
      (present === null
        ? ''
        : ` The recipe now: ${present.bitsPerWeight.toFixed(3)} bits per weight, predicted loss ${trim(present.loss)}.`);
    slider.setAttribute('aria-valuetext', `${wanted.toFixed(2)} bits per weight, predicted loss ${trim(chosen.loss)}`);
  }

  return { show, chosenBits: () => solved && chosenOf(solved).bits, forget: () => void (solved = null) };
}
