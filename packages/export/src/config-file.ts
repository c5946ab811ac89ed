import type { FilePlan } from './export-folder.js';
import { bytesFile } from './json-file.js';
import type { NumberFormat } from './number-formats.js';

/** torch's names of dtypes in config.json. */
const torchDtypes = { fp32: 'float32', fp16: 'float16', bf16: 'bfloat16', q8_0: 'float32' } as const;

const dtypeEntry = /("(?:torch_)?dtype"\s*:\s*)"\w+"/g;

/** Settings that transformers refuses as whole numbers. */
const floats = [
  'rms_norm_eps',
  'rope_theta',
  'rope_local_base_freq',
  'rotary_pct',
  'factor',
  'low_freq_factor',
  'high_freq_factor',
  'attention_factor',
  'attn_logit_softcapping',
  'final_logit_softcapping',
];

/**
 * config.json of the base with the dtype of the export. The text is kept as it is otherwise: parsed and written again,
 * 2.0 would become 2, which transformers refuses.
 */
export function keptConfig(text: string, format: NumberFormat): FilePlan {
  const name = torchDtypes[format.dtype];
  const renamed = text.replace(dtypeEntry, `$1"${name}"`);
  const named = dtypeEntry.test(text) ? renamed : text.replace('{', `{\n  "torch_dtype": "${name}",`);
  dtypeEntry.lastIndex = 0;
  return bytesFile('config.json', Buffer.from(named, 'utf8'));
}

/** config.json of settings that were made here. */
export function newConfig(config: Readonly<Record<string, unknown>>, format: NumberFormat): FilePlan {
  const text = JSON.stringify({ ...config, torch_dtype: torchDtypes[format.dtype] }, null, 2);
  const whole = new RegExp(`("(?:${floats.join('|')})": -?\\d+)(?=[,\\n])`, 'g');
  return bytesFile('config.json', Buffer.from(`${text.replace(whole, '$1.0')}\n`, 'utf8'));
}
