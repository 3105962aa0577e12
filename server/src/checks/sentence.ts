// The beginning of a sentence: a capital letter, unless the first word is a name that has its capital inside.
export const sentence = (text: string): string => (/^[a-z][A-Z]/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1));
