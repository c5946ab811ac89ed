import { parse, tokenize } from '@huggingface/jinja';
import { BoundedInterpreter, chatEnvironment, TemplateRefusal } from './chat-interpreter.js';
import { ModelError } from './errors.js';

/** A message as a template sees it. */
export interface TemplateMessage {
  readonly role: string;
  readonly content: unknown;
}

/** What a chat template is given beside the messages. */
export interface ChatPromptOptions {
  /** Whether the prompt ends where the model's next message begins. */
  readonly addGenerationPrompt: boolean;
  readonly bosToken: string;
  readonly eosToken: string;
  /** Tools as JSON schemas, for templates that know them. */
  readonly tools?: readonly object[];
  /** What `strftime_now` tells; the present if left out. */
  readonly now?: Date;
}

/** Longest template, in characters: those in use have up to 20,000. */
const longestTemplate = 200_000;

/**
 * The prompt that a chat template (Jinja, as Hugging Face runs it) makes of a conversation. Rendering stops after 250,000
 * steps, or at a text of 16 million characters; what one step may do inside @huggingface/jinja is not bounded further.
 * @throws ModelError CHAT_REFUSED where the template refuses the messages, fails or does not end
 */
export function chatPrompt(template: string, messages: readonly TemplateMessage[], options: ChatPromptOptions): string {
  if (template.length > longestTemplate)
    throw new ModelError(
      'CHAT_REFUSED',
      `the chat template of the model has ${template.length} characters, more than ${longestTemplate}`,
    );
  try {
    const program = parse(tokenize(template, { lstrip_blocks: true, trim_blocks: true }));
    const environment = chatEnvironment(
      {
        messages: messages.map((message) => ({ ...message })),
        add_generation_prompt: options.addGenerationPrompt,
        bos_token: options.bosToken,
        eos_token: options.eosToken,
        tools: options.tools ?? null,
        documents: null,
      },
      options.now ?? new Date(),
    );
    return String(new BoundedInterpreter(environment).run(program).value);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const what = cause instanceof TemplateRefusal ? 'refuses these messages' : 'failed';
    throw new ModelError('CHAT_REFUSED', `the chat template of the model ${what}: ${reason}`, { cause });
  }
}
