// Words and numbers in the reader's language.

import all from './texts.json' with { type: 'json' };

/** Texts by key; `{n}` and the like stand for what is put in. */
export type Texts = Record<string, string>;

const table: Record<string, Texts> = all;

/** The texts of a locale as it is written canonically, English where there are none. */
export const textsOf = (locale: string): Texts => table[locale.slice(0, 2)] ?? table['en']!;

export const fill = (text = '', values: Record<string, string | number> = {}): string =>
  text.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''));

/** Whole numbers, with the sign that is as wide as a digit. */
export function numbers(locale: string, options?: Intl.NumberFormatOptions): (value: number) => string {
  const format = new Intl.NumberFormat(locale, options);
  return (value) => format.format(value).replace('-', '−');
}

/** A locale that this browser knows: what a page asks for may be nonsense, or written as programs elsewhere do (`de_DE`). */
export function known(locale: string | null | undefined): string {
  try {
    return Intl.getCanonicalLocales(locale?.replaceAll('_', '-') ?? [])[0] ?? 'en';
  } catch {
    return 'en';
  }
}

export const direction = (locale: string): 'rtl' | 'ltr' => (/^(ar|fa|he|ur)\b/.test(locale) ? 'rtl' : 'ltr');
