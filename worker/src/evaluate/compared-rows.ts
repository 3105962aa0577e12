// Which rows of a batch are compared between two models.

/** All tokens of each document but its first, whose hidden states are many times larger than all others in most models. */
export const comparedRows = (offsets: readonly number[]): [number, number][] =>
  offsets.slice(1).flatMap((end, document): [number, number][] => {
    const begin = offsets[document]! + 1;
    return end > begin ? [[begin, end]] : [];
  });
