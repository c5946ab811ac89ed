import { Environment, Interpreter } from '@huggingface/jinja';

/** Expressions and statements that a template may evaluate; a message takes some hundred, a second is enough for some 100,000. */
const steps = 250_000;
/** Longest text that a step may come to, in UTF-16 units; no context takes a longer one. */
const longestText = 2 ** 24;
/** Items of a list, and characters of a text, that count as one more step: the filters go over all of them. */
const itemsPerStep = 64;
const charactersPerStep = 4096;
/** Longest list that `range` makes. */
const longestRange = 100_000;

/** What a template says about messages it does not take. */
export class TemplateRefusal extends Error {
  override readonly name = 'TemplateRefusal';
}

/** What is used of jinja's interpreter, whose own declarations TypeScript cannot follow. */
interface Runtime {
  evaluate(statement: Node | undefined, environment: unknown): { readonly value: unknown };
  run(program: unknown): { readonly value: unknown };
}
interface Node {
  readonly type: string;
  /** Of a loop: what it goes over; with a condition, a SelectExpression of it. */
  readonly iterable?: Node;
  readonly lhs?: Node;
}
const JinjaInterpreter = Interpreter as new (environment: Environment) => Runtime;

/** Runs a template for a bounded number of steps; a turn of a loop is one, and long lists and texts count for more. */
export class BoundedInterpreter extends JinjaInterpreter {
  readonly #loopedOver = new WeakSet<Node>();
  #steps = 0;

  override evaluate(statement: Node | undefined, environment: unknown): { readonly value: unknown } {
    const { iterable } = statement ?? {};
    if (iterable) this.#loopedOver.add(iterable.type === 'SelectExpression' && iterable.lhs ? iterable.lhs : iterable);
    this.#spend(1);
    const result = super.evaluate(statement, environment);
    const size = sizeOf(result.value);
    if (typeof result.value === 'string' && size > longestText)
      throw new Error(`it made a text of more than ${longestText} characters`);
    if (statement && this.#loopedOver.has(statement)) this.#spend(size);
    this.#spend(size / (typeof result.value === 'string' ? charactersPerStep : itemsPerStep));
    return result;
  }

  #spend(cost: number): void {
    this.#steps += cost;
    if (this.#steps > steps) throw new Error(`it did not end within ${steps} steps`);
  }
}

function sizeOf(value: unknown): number {
  if (typeof value === 'string' || Array.isArray(value)) return value.length;
  return value instanceof Map ? value.size : 0;
}

/** The names that Hugging Face gives chat templates, and these variables. */
export function chatEnvironment(variables: Readonly<Record<string, unknown>>, now: Date): Environment {
  const environment = new Environment();
  const names: Readonly<Record<string, unknown>> = {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    raise_exception: (message: unknown) => {
      throw new TemplateRefusal(String(message));
    },
    range: (...bounds: readonly unknown[]) => range(...bounds),
    strftime_now: (format: unknown) => strftime(String(format), now),
    ...variables,
  };
  for (const [name, value] of Object.entries(names)) environment.set(name, value);
  return environment;
}

function range(...bounds: readonly unknown[]): number[] {
  const [from, to, step = 1] = bounds.length === 1 ? [0, bounds[0]] : bounds;
  const length = Math.max(0, Math.ceil((Number(to) - Number(from)) / Number(step)));
  if (!Number.isFinite(length) || length > longestRange)
    throw new Error(`range(${bounds.join(', ')}) is no list of at most ${longestRange} numbers`);
  return Array.from({ length }, (_, i) => Number(from) + i * Number(step));
}

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/** Python's strftime in English, local time; directives it does not know stay as they are. */
function strftime(format: string, now: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const values: Readonly<Record<string, string>> = {
    Y: String(now.getFullYear()),
    y: two(now.getFullYear() % 100),
    m: two(now.getMonth() + 1),
    d: two(now.getDate()),
    B: months[now.getMonth()],
    b: months[now.getMonth()].slice(0, 3),
    A: days[now.getDay()],
    a: days[now.getDay()].slice(0, 3),
    H: two(now.getHours()),
    I: two(now.getHours() % 12 || 12),
    M: two(now.getMinutes()),
    S: two(now.getSeconds()),
    p: now.getHours() < 12 ? 'AM' : 'PM',
    '%': '%',
  };
  return format.replace(/%(.)/gu, (directive, name: string) => values[name] ?? directive);
}
