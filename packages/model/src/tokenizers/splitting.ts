import { type Aligned, slice } from './aligned.js';

/** What becomes of the matches that a text is split at. */
export const splitBehaviors = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const;
export type SplitBehavior = (typeof splitBehaviors)[number];

interface Span {
  from: number;
  to: number;
  readonly match: boolean;
}

/** Splits a piece at the matches of a pattern, or, inverted, at what lies between them. Empty pieces are left out. */
export function splitAt(piece: Aligned, pattern: RegExp, behavior: SplitBehavior, invert: boolean): Aligned[] {
  const spans = spansOf(piece.text, pattern, invert);
  return arrange(spans, behavior)
    .filter(({ from, to }) => to > from)
    .map(({ from, to }) => slice(piece, from, to));
}

function spansOf(text: string, pattern: RegExp, invert: boolean): Span[] {
  const spans: Span[] = [];
  let done = 0;
  for (const { 0: match, index } of text.matchAll(pattern)) {
    if (index > done) spans.push({ from: done, to: index, match: invert });
    done = index + match.length;
    spans.push({ from: index, to: done, match: !invert });
  }
  if (done < text.length) spans.push({ from: done, to: text.length, match: invert });
  return spans;
}

function arrange(spans: Span[], behavior: SplitBehavior): Span[] {
  switch (behavior) {
    case 'Isolated':
      return spans;
    case 'Removed':
      return spans.filter(({ match }) => !match);
    case 'Contiguous':
      return join(spans, (span, before) => span.match === before.match);
    case 'MergedWithPrevious':
      return join(spans, (span, before) => span.match && !before.match);
    case 'MergedWithNext':
      return join(spans.toReversed(), (span, behind) => span.match && !behind.match).toReversed();
  }
}

/** Joins a span to the one that comes before it in the list where `joins` says so, by what both were. */
function join(spans: readonly Span[], joins: (span: Span, before: Span) => boolean): Span[] {
  const joined: Span[] = [];
  spans.forEach((span, i) => {
    const last = joined.at(-1);
    if (!last || !joins(span, spans[i - 1])) joined.push({ ...span });
    else {
      last.from = Math.min(last.from, span.from);
      last.to = Math.max(last.to, span.to);
    }
  });
  return joined;
}
