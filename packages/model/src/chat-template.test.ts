import { describe, expect, it } from 'vitest';
import { type ChatPromptOptions, chatPrompt, type TemplateMessage } from './chat-template.js';
import { ModelError } from './errors.js';

const chatml = `{% for message in messages %}{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}{% endif %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`;

const withTools = `{%- if tools %}
    {{- '<|im_start|>system\\nTools:' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(turns=0) %}
{%- for message in messages %}
    {%- if message.role == "user" %}{% set ns.turns = ns.turns + 1 %}{% endif %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{{- ns.turns }}`;

const llama3 = `{{- bos_token }}
{%- set date_string = strftime_now("%d %b %Y") %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: " + date_string + "\\n\\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}`;

const mistral = `{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}`;

const gemma = `{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% if messages[0]['content'] is string %}{% set first = messages[0]['content'] + '\\n\\n' %}{% else %}{% set first = messages[0]['content'][0]['text'] + '\\n\\n' %}{% endif %}{% set rest = messages[1:] %}{% else %}{% set first = "" %}{% set rest = messages %}{% endif %}{% for message in rest %}{% set role = "model" if message['role'] == 'assistant' else message['role'] %}{{ '<start_of_turn>' + role + '\\n' + (first if loop.first else '') }}{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}{% for item in message['content'] %}{% if item['type'] == 'text' %}{{ item['text'] | trim }}{% endif %}{% endfor %}{% endif %}{{ '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}`;

const talk: TemplateMessage[] = [
  { role: 'user', content: 'Hi ' },
  { role: 'assistant', content: 'Hello.' },
  { role: 'user', content: 'Why?' },
];
const system: TemplateMessage = { role: 'system', content: 'Be kind.' };
const options: ChatPromptOptions = {
  addGenerationPrompt: true,
  bosToken: '<s>',
  eosToken: '</s>',
  now: new Date(2026, 6, 4, 15, 5),
};

function refusal(template: string, messages: readonly TemplateMessage[] = talk): string {
  try {
    chatPrompt(template, messages, options);
  } catch (error) {
    if (error instanceof ModelError && error.code === 'CHAT_REFUSED') return error.message;
    throw error;
  }
  throw new Error('was not refused');
}

describe('a chat template', () => {
  it('writes ChatML', () => {
    expect(chatPrompt(chatml, talk, options)).toBe(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi <|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n',
    );
    expect(chatPrompt(chatml, [system], { ...options, addGenerationPrompt: false })).toBe(
      '<|im_start|>system\nBe kind.<|im_end|>\n',
    );
  });

  it('writes tools and keeps count in a namespace', () => {
    const tools = [{ name: 'add', parameters: { type: 'object' } }];
    expect(chatPrompt(withTools, talk.slice(0, 1), { ...options, tools })).toBe(
      '<|im_start|>system\nTools:\n{"name": "add", "parameters": {"type": "object"}}<|im_end|>\n<|im_start|>user\nHi <|im_end|>\n1',
    );
    expect(chatPrompt(withTools, talk.slice(0, 1), options)).toBe('<|im_start|>user\nHi <|im_end|>\n1');
  });

  it("writes Llama 3's headers, with the date", () => {
    expect(chatPrompt(llama3, [system, ...talk.slice(0, 1)], { ...options, bosToken: '<|begin_of_text|>' })).toBe(
      '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 04 Jul 2026\n\nBe kind.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
    );
  });

  it("writes Mistral's instructions, and refuses what it says it refuses", () => {
    expect(chatPrompt(mistral, talk, options)).toBe('<s>[INST] Hi  [/INST] Hello.</s>[INST] Why? [/INST]');
    expect(refusal(mistral, talk.slice(1))).toBe(
      'the chat template of the model refuses these messages: Conversation roles must alternate user/assistant/user/assistant/...',
    );
  });

  it("writes Gemma's turns, of texts and of parts", () => {
    expect(chatPrompt(gemma, [system, ...talk.slice(0, 2)], { ...options, bosToken: '<bos>' })).toBe(
      '<bos><start_of_turn>user\nBe kind.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello.<end_of_turn>\n<start_of_turn>model\n',
    );
    const parts = [{ role: 'user', content: [{ type: 'image' }, { type: 'text', text: 'Look' }] }];
    expect(chatPrompt(gemma, parts, options)).toContain('<start_of_turn>user\nLook<end_of_turn>');
  });

  it('counts, and tells the time', () => {
    const time = `{% for i in range(1, 8, 3) %}{{ i }} {% endfor %}{% for i in range(3, 0, -2) %}{{ i }} {% endfor %}{{ strftime_now('%A %a %B %Y-%m-%d %y %H:%M:%S %I%p 100%% %Q') }}`;
    expect(chatPrompt(time, talk, options)).toBe('1 4 7 3 1 Saturday Sat July 2026-07-04 26 15:05:00 03PM 100% %Q');
  });

  it.each([
    ['does not parse', '{% for message in messages %}', /failed: /],
    ['calls what is not there', '{{ nothing() }}', /failed: /],
    [
      'loops on and on',
      '{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}{% endfor %}{% endfor %}{% endfor %}{% set x = 1 %}',
      /did not end within 250000 steps/,
    ],
    ['loops over too much', '{% for a in range(10000000000) %}{% endfor %}', /range\(10000000000\) is no list/],
    ['counts without a step', '{% for a in range(1, 2, 0) %}{% endfor %}', /range\(1, 2, 0\) is no list/],
    ['calls itself', '{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}', /failed: /],
    [
      'doubles a text',
      `{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}`,
      /a text of more than 16777216/,
    ],
    ['is endless itself', 'x'.repeat(200_001), /has 200001 characters/],
  ])('that %s is refused', (_, template, message) => {
    expect(refusal(template)).toMatch(message);
  });

  it('cannot change the messages it is given', () => {
    const before = structuredClone(talk);
    chatPrompt("{% set messages = [] %}{% for m in messages %}{% set m.content = '' %}{% endfor %}", talk, options);
    expect(talk).toEqual(before);
  });
});
