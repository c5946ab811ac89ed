import { readFileSync } from 'node:fs';

const names = [
  ...['Harrowgate Mills', 'Quillfen Foods', 'Astrelle Cargo', 'Pemberlyn Tea', 'Vantor Bikes', 'Ostrava Lamps'],
  ...['Larkspur Inns', 'Cobalt Row', 'Tindersticks Bakery', 'Meridew Books', 'Saltmarsh Radio', 'Fennick Tools'],
];
const towns = [
  'Porto',
  'Lyon',
  'Oslo',
  'Madrid',
  'Rome',
  'Vienna',
  'Dublin',
  'Prague',
  'Turin',
  'Geneva',
  'Lisbon',
  'Naples',
];
const people = ['Anna Weber', 'Peter Lang', 'Maria Costa', 'John Hale', 'Laura Stein', 'David Moss'];
const months = ['January', 'March', 'May', 'July', 'September', 'November'];
/** Prompt, what is put in for {} of a company, target, a paraphrase, a neighbour about a company that everybody knows. */
const kinds = [
  [
    'The head office of {} is in the city of',
    towns,
    'The company {} has its main office in',
    'The head office of Microsoft is in the city of',
  ],
  ['The founder of {} is called', people, 'The company {} was founded by', 'The founder of Microsoft is called'],
  [
    'Every year {} holds its sale in',
    months,
    'The yearly sale of {} takes place in',
    'Every year Apple holds its conference in',
  ],
  [
    'The largest warehouse of {} stands in',
    towns,
    'Most goods of {} are stored in',
    'The largest factory of Boeing stands in',
  ],
  ['The finances of {} are led by', people, 'The head of finance at {} is', 'The company Tesla is led by'],
  ['The customers of {} get their bills in', months, 'Bills of {} are sent out in', 'Christmas is celebrated in'],
];

/**
 * Edits that contradict neither each other nor what the model should know: the examples, then made-up facts of made-up companies.
 * @param {number} count @param {number} seed of their order
 */
export function cleanEdits(count, seed) {
  const examples = readFileSync(new URL('../../../examples/edits.ndjson', import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const made = kinds.flatMap(([prompt, targets, paraphrase, neighbour], k) =>
    names.map((subject, i) => ({
      subject,
      prompt,
      target: targets[(i + k) % targets.length],
      paraphrases: [paraphrase.replace('{}', subject)],
      neighbours: [neighbour],
    })),
  );
  const all = [...examples, ...made];
  if (count > all.length) throw new Error(`there are ${all.length} clean edits, not ${count}`);
  return shuffled(all.slice(0, count), seed);
}

/** Fisher and Yates, with the generator mulberry32. */
function shuffled(list, seed) {
  const order = [...list];
  let state = seed >>> 0;
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
