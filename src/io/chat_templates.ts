/**
 * Chat templates to choose, for models that have none: the forms in which well-known families were
 * trained to chat.
 *
 * They are written here after the published forms. Unlike some of those, every one writes a turn in the
 * same way wherever it stands, so that each answer is learned in place.
 *
 * @module
 */

/** A template, and the tokens without which it makes no sense. */
export interface ReadyTemplate {
  /** In Jinja. */
  source: string;
  /** Tokens that the tokenizer must have. */
  tokens: readonly string[];
}

/** Fields of a message that these forms have no place for: better refused than lost. */
const REFUSED = ["tool_calls", "reasoning_content"].map((field) =>
  `{% if message['${field}'] %}{{ raise_exception('it has no form for ${field}') }}{% endif %}`
).join("");
const NO_TOOLS = "{% if tools %}{{ raise_exception('it has no form for tools') }}{% endif %}";

/** Each turn between its role and an end, as `open` and `close` write them. */
function turns(
  { begin = "", open, close }: {
    begin?: string;
    /** Before a text; an expression of `role`. */
    open: string;
    /** After a text. */
    close: string;
  },
): string {
  return `${NO_TOOLS}${begin}{% for message in messages %}${REFUSED}{% set role = message['role'] %}` +
    `{{ ${open} }}{{ message['content'] | trim }}{{ ${close} }}{% endfor %}` +
    `{% if add_generation_prompt %}{% set role = 'assistant' %}{{ ${open} }}{% endif %}`;
}

/**
 * A form without a place for a system message, which goes before the first question.
 *
 * @param system Between the system message and the question; an expression of `system`.
 */
function merged(
  { begin = "", system, user, assistant, prompt }: {
    begin?: string;
    system: string;
    /** The user's turn; an expression of `content`. */
    user: string;
    /** The assistant's turn; an expression of `content`. */
    assistant: string;
    /** What introduces an answer. */
    prompt: string;
  },
): string {
  return `${NO_TOOLS}${begin}{% set ns = namespace(system='') %}{% for message in messages %}${REFUSED}` +
    "{% set content = message['content'] | trim %}" +
    "{% if message['role'] == 'system' %}" +
    "{% if not loop.first %}{{ raise_exception('a system message must be the first') }}{% endif %}" +
    `{% set system = content %}{% set ns.system = ${system} %}` +
    "{% elif message['role'] == 'user' %}" +
    `{% set content = ns.system + content %}{% set ns.system = '' %}{{ ${user} }}` +
    "{% elif message['role'] == 'assistant' %}" +
    `{{ ${assistant} }}` +
    "{% else %}{{ raise_exception('the role ' + message['role'] + ' has no form here') }}{% endif %}" +
    `{% endfor %}{% if add_generation_prompt %}{{ ${prompt} }}{% endif %}`;
}

const BOS = "{{ bos_token }}";

/** The templates by name. */
export const CHAT_TEMPLATES: Readonly<Record<string, ReadyTemplate>> = {
  chatml: {
    source: turns({ open: "'<|im_start|>' + role + '\\n'", close: "'<|im_end|>\\n'" }),
    tokens: ["<|im_start|>", "<|im_end|>"],
  },
  llama2: {
    source: merged({
      system: "'<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n'",
      user: "bos_token ~ '[INST] ' + content + ' [/INST]'",
      assistant: "' ' + content + ' ' + eos_token",
      prompt: "''",
    }),
    tokens: [],
  },
  llama3: {
    source: turns({
      begin: BOS,
      open: "'<|start_header_id|>' + role + '<|end_header_id|>\\n\\n'",
      close: "'<|eot_id|>'",
    }),
    tokens: ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
  },
  gemma: {
    source: merged({
      begin: BOS,
      system: "system + '\\n\\n'",
      user: "'<start_of_turn>user\\n' + content + '<end_of_turn>\\n'",
      assistant: "'<start_of_turn>model\\n' + content + '<end_of_turn>\\n'",
      prompt: "'<start_of_turn>model\\n'",
    }),
    tokens: ["<start_of_turn>", "<end_of_turn>"],
  },
  mistral: {
    source: merged({
      begin: BOS,
      system: "system + '\\n\\n'",
      user: "'[INST] ' + content + '[/INST]'",
      assistant: "' ' + content + eos_token",
      prompt: "''",
    }),
    tokens: ["[INST]", "[/INST]"],
  },
  phi3: {
    source: turns({ open: "'<|' + role + '|>\\n'", close: "'<|end|>\\n'" }),
    tokens: ["<|user|>", "<|assistant|>", "<|end|>"],
  },
  phi4: {
    source: turns({ open: "'<|im_start|>' + role + '<|im_sep|>'", close: "'<|im_end|>'" }),
    tokens: ["<|im_start|>", "<|im_sep|>", "<|im_end|>"],
  },
  "phi4-mini": {
    source: turns({ open: "'<|' + role + '|>'", close: "'<|end|>'" }),
    tokens: ["<|user|>", "<|assistant|>", "<|end|>"],
  },
  zephyr: {
    source: turns({ open: "'<|' + role + '|>\\n'", close: "eos_token + '\\n'" }),
    tokens: [],
  },
  alpaca: {
    source: merged({
      begin: BOS,
      system: "system + '\\n\\n'",
      user: "'### Instruction:\\n' + content + '\\n\\n'",
      assistant: "'### Response:\\n' + content + eos_token + '\\n\\n'",
      prompt: "'### Response:\\n'",
    }),
    tokens: [],
  },
};

/** The names of {@linkcode CHAT_TEMPLATES}. */
export const CHAT_TEMPLATE_NAMES: readonly string[] = Object.keys(CHAT_TEMPLATES);
