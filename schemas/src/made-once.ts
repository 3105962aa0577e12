// What is made of an object, such as all that is derived from the description of a model, is made once and kept as long as the object is.

export function madeOnce<Of extends object, Made extends NonNullable<unknown>>(make: (of: Of) => Made): (of: Of) => Made {
  const kept = new WeakMap<Of, Made>();
  return (of) => {
    const known = kept.get(of);
    if (known !== undefined) return known;
    const made = make(of);
    kept.set(of, made);
    return made;
  };
}
