/** Which text of a conversation is learned, for templates of every make. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { tokenize } from "../../src/data/tokenize.ts";
import type { ChatExample } from "../../src/data/types.ts";
import { DataError, OptionError } from "../../src/errors.ts";
import { type ChatMessage, ChatTemplate } from "../../src/io/chat_template.ts";
import { CHAT_TEMPLATE_NAMES, CHAT_TEMPLATES } from "../../src/io/chat_templates.ts";
import type { TokenEncoder } from "../../src/data/types.ts";

/** One token per character, so that targets can be read off. */
function characters(template: string | null): TokenEncoder {
  const variables = { bos_token: "<s>", eos_token: "</s>" };
  return {
    bosTokenId: null,
    eosTokenId: null,
    padTokenId: null,
    chatTemplate: template === null ? null : new ChatTemplate(template, variables),
    around: () => ({ before: [], after: [] }),
    encodeBatch: (texts) =>
      Promise.resolve(
        texts.map((text) => Array.from({ length: text.length }, (_, i) => text.charCodeAt(i))),
      ),
  };
}

/** The documents of a conversation, what is learned in brackets. */
async function learned(
  messages: ChatMessage[],
  template: string | null,
  options: Partial<ChatExample> & { trainOnPrompt?: boolean } = {},
): Promise<string[]> {
  const { trainOnPrompt = false, ...rest } = options;
  const example: ChatExample = { kind: "chat", messages, ...rest };
  const documents = await tokenize(example, characters(template), trainOnPrompt, "row 7");
  return documents.map(({ ids, labels }) => {
    let text = "";
    for (let i = 0; i < ids.length; i++) {
      const [on, was] = [labels[i] !== -100, i > 0 && labels[i - 1] !== -100];
      text += (on !== was ? (on ? "⟦" : "⟧") : "") + String.fromCharCode(ids[i]);
    }
    return text + (labels.at(-1) !== -100 ? "⟧" : "");
  });
}

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string, rest = {}) => ({ role: "assistant", content, ...rest });

/** As the templates of reasoning models: thoughts only behind the last question. */
const REASONING = "{%- set last = messages | length - 1 %}{% for m in messages %}" +
  "{% set c = m.content %}{% if loop.index0 < last and m.role == 'assistant' %}" +
  "{% set c = c.split('</think>')[-1].lstrip('\\n') %}{% endif %}" +
  "[{{ m.role }}]{{ c }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}" +
  "{% if add_generation_prompt %}[assistant]{% endif %}";

Deno.test("an answer that a template rewrites once turns follow is learned as it was written", async () => {
  const messages = [
    user("1+1"),
    assistant("<think>so</think>\n2"),
    user("2+2"),
    assistant("<think>hm</think>\n4"),
    user("3+3"),
    assistant("6"),
  ];
  assertEquals(await learned(messages, REASONING), [
    "[user]1+1[assistant]⟦<think>so</think>\n2</s>⟧",
    "[user]1+1[assistant]2</s>[user]2+2[assistant]⟦<think>hm</think>\n4</s>⟧",
    "[user]1+1[assistant]2</s>[user]2+2[assistant]4</s>[user]3+3[assistant]⟦6</s>⟧",
  ]);
  // With prompts, too: what the whole conversation no longer has is learned beside it.
  assertEquals(await learned(messages, REASONING, { trainOnPrompt: true }), [
    "[user]1+1[assistant]⟦<think>so</think>\n2</s>⟧",
    "[user]1+1[assistant]2</s>[user]2+2[assistant]⟦<think>hm</think>\n4</s>⟧",
    "⟦[user]1+1[assistant]2</s>[user]2+2[assistant]4</s>[user]3+3[assistant]6</s>⟧",
  ]);
  // Where nothing is rewritten, it is one document.
  const plain = [user("1+1"), assistant("2"), user("2+2"), assistant("4")];
  assertEquals(await learned(plain, REASONING), [
    "[user]1+1[assistant]⟦2</s>⟧[user]2+2[assistant]⟦4</s>⟧",
  ]);
  assertEquals(await learned(plain, REASONING, { trainOnPrompt: true }), [
    "⟦[user]1+1[assistant]2</s>[user]2+2[assistant]4</s>⟧",
  ]);
});

Deno.test("an answer whose earlier turns change their form later is learned in its own place", async () => {
  // As Mistral's: what belongs to the whole goes before the last question.
  const template =
    "{% for m in messages %}{% if loop.index0 == ((messages | length - 1) // 2) * 2 %}" +
    "{TOOLS}{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}" +
    "{% if add_generation_prompt %}[assistant]{% endif %}";
  const messages = [user("a"), assistant("b"), user("c"), assistant("d")];
  assertEquals(await learned(messages, template), [
    "{TOOLS}[user]a[assistant]⟦b⟧",
    "[user]a[assistant]b{TOOLS}[user]c[assistant]⟦d⟧",
  ]);
});

Deno.test("generation blocks say what is learned, and weights choose among them", async () => {
  const template = "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}" +
    "{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}" +
    "{% endif %}{% endfor %}";
  const messages = [user("a"), assistant("b"), user("c"), assistant("d")];
  const whole = "[user]a[assistant]⟦b</s>⟧[user]c[assistant]⟦d</s>⟧";
  assertEquals(await learned(messages, template), [whole]);
  const weighted = messages.with(1, assistant("b", { weight: 0 }));
  const last = "[user]a[assistant]b</s>[user]c[assistant]⟦d</s>⟧";
  assertEquals(await learned(weighted, template), [last]);
  assertEquals(await learned(messages, template, { learnFrom: 2 }), [last]);
  const lacking = template.replace("{% if m.role == 'assistant' %}", "{% if m.content == 'b' %}");
  await assertRejects(
    () => learned(messages, lacking),
    DataError,
    "row 7: it has 2 answers, and the chat template marks 1 texts as generated",
  );
});

Deno.test("what a template leaves out of an answer is refused, wherever the answer stands", async () => {
  const template = "{% for m in messages %}[{{ m.role }}]{{ m.content.split('</think>')[-1] }}" +
    "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
  const thought = assistant("<think>because of that</think>Yes");
  const cases: [ChatMessage[], string][] = [
    [[user("a"), thought], 'message 1 of row 7: the chat template leaves "because of that" out'],
    [[user("a"), thought, user("b"), assistant("c")], "the answer in message 1 of row 7"],
    [[user("a"), assistant("b", { reasoning_content: "hm" })], 'leaves "hm" out of it'],
    [
      [
        user("a"),
        assistant("", { tool_calls: [{ function: { name: "look_up", arguments: {} } }] }),
      ],
      'leaves "look_up" out of it',
    ],
  ];
  for (const [messages, message] of cases) {
    await assertRejects(() => learned(messages, template), DataError, message);
  }
  const weightless = [user("a"), { ...thought, weight: 0 }, user("b"), assistant("c")];
  assertEquals(await learned(weightless, template), [
    "[user]a</s>[assistant]Yes</s>[user]b</s>[assistant]⟦c</s>⟧",
  ]);
});

Deno.test("generation blocks that leave out earlier thoughts are learned apart, too", async () => {
  const source = "{%- set last = messages | length - 1 %}{% for m in messages %}[{{ m.role }}]" +
    "{% if m.role == 'assistant' %}{% generation %}" +
    "{{ m.content if loop.index0 == last else m.content.split('</think>')[-1] }}{{ eos_token }}" +
    "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}";
  const messages = [user("1+1"), assistant("<think>so</think>2"), user("2+2"), assistant("4")];
  assertEquals(await learned(messages, source), [
    "[user]1+1[assistant]⟦<think>so</think>2</s>⟧",
    "[user]1+1[assistant]2</s>[user]2+2[assistant]⟦4</s>⟧",
  ]);
});

Deno.test("a prompt that begins an answer as the data does not is named", async () => {
  const template =
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}" +
    "{% if add_generation_prompt %}[assistant]<think>\n{% endif %}";
  await assertRejects(
    () => learned([user("a"), assistant("b")], template),
    DataError,
    'from its prompt, which ends with "<think>\\n", and the answer does not begin so',
  );
  assertEquals(await learned([user("a"), assistant("<think>\nhm</think>b")], template), [
    "[user]a</s>[assistant]<think>\n⟦hm</think>b</s>⟧",
  ]);
});

Deno.test("without a template, the error names those to choose", async () => {
  const error = await assertRejects(() => learned([user("a")], null), OptionError);
  assertStringIncludes(error.message, "row 7: it has messages, but the model has no chat template");
  assertStringIncludes(
    error.message,
    "choose one by chatTemplate, which takes chatml, llama2,",
  );
});

Deno.test("docs/CHAT.md names every ready-made template", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/CHAT.md", import.meta.url));
  const named = [...page.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, name]) => name);
  assertEquals(named, CHAT_TEMPLATE_NAMES);
});

for (const name of CHAT_TEMPLATE_NAMES) {
  Deno.test(`the ready-made template ${name} puts every answer where generation asks for it`, async () => {
    const { source } = CHAT_TEMPLATES[name];
    const messages = [
      { role: "system", content: "S" },
      user("a"),
      assistant("b"),
      user("c"),
      assistant("d"),
    ];
    const [text, ...others] = await learned(messages, source);
    assertEquals(others, []);
    const answers = [...text.matchAll(/⟦(.*?)⟧/gs)].map(([, answer]) => answer);
    assertEquals(answers.length, 2);
    answers.forEach((answer, i) => assertEquals(answer.trim().replace(/<.*/s, "").trim(), "bd"[i]));
    const { chatTemplate } = characters(source);
    const ends = (chatTemplate as ChatTemplate).closing.trim();
    assert(ends.length > 3 && answers.every((answer) => answer.trim().endsWith(ends)), ends);
    // What a form has no place for is refused, not left out.
    for (const field of [{ tool_calls: [{}] }, { reasoning_content: "hm" }]) {
      const extended = messages.with(4, assistant("d", field));
      await assertRejects(() => learned(extended, source), DataError, "it has no form for");
    }
    const tools = { variables: { tools: [{}] } };
    await assertRejects(() => learned(messages, source, tools), DataError, "no form for tools");
  });
}

Deno.test("ready-made templates write what the families were trained on", () => {
  const messages = [{ role: "system", content: "S" }, user("a"), assistant("b"), user("c")];
  const want: Record<string, string> = {
    chatml: "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\na<|im_end|>\n" +
      "<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n",
    llama2: "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\na [/INST] b </s><s>[INST] c [/INST]",
    llama3: "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>" +
      "<|start_header_id|>user<|end_header_id|>\n\na<|eot_id|>" +
      "<|start_header_id|>assistant<|end_header_id|>\n\nb<|eot_id|>" +
      "<|start_header_id|>user<|end_header_id|>\n\nc<|eot_id|>" +
      "<|start_header_id|>assistant<|end_header_id|>\n\n",
    gemma: "<s><start_of_turn>user\nS\n\na<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n" +
      "<start_of_turn>user\nc<end_of_turn>\n<start_of_turn>model\n",
    mistral: "<s>[INST] S\n\na[/INST] b</s>[INST] c[/INST]",
    phi3: "<|system|>\nS<|end|>\n<|user|>\na<|end|>\n<|assistant|>\nb<|end|>\n" +
      "<|user|>\nc<|end|>\n<|assistant|>\n",
    phi4: "<|im_start|>system<|im_sep|>S<|im_end|><|im_start|>user<|im_sep|>a<|im_end|>" +
      "<|im_start|>assistant<|im_sep|>b<|im_end|><|im_start|>user<|im_sep|>c<|im_end|>" +
      "<|im_start|>assistant<|im_sep|>",
    "phi4-mini":
      "<|system|>S<|end|><|user|>a<|end|><|assistant|>b<|end|><|user|>c<|end|><|assistant|>",
    zephyr:
      "<|system|>\nS</s>\n<|user|>\na</s>\n<|assistant|>\nb</s>\n<|user|>\nc</s>\n<|assistant|>\n",
    alpaca:
      "<s>### Instruction:\nS\n\na\n\n### Response:\nb</s>\n\n### Instruction:\nc\n\n### Response:\n",
  };
  assertEquals(Object.keys(want), CHAT_TEMPLATE_NAMES);
  for (const [name, text] of Object.entries(want)) {
    const template = new ChatTemplate(CHAT_TEMPLATES[name].source, {
      bos_token: "<s>",
      eos_token: "</s>",
    });
    assertEquals(template.render(messages, { addGenerationPrompt: true }), text, name);
  }
});

Deno.test("a conversation of too many turns for its length is refused before it is tokenised", async () => {
  const messages = Array.from({ length: 400 }, () => [user("a".repeat(900)), assistant("b")])
    .flat();
  const error = await assertRejects(
    () =>
      tokenize(
        { kind: "chat", messages },
        characters(CHAT_TEMPLATES.zephyr.source),
        false,
        "row 1",
      ),
    DataError,
  );
  assertStringIncludes(error.message, "row 1: it has 400 answers in a text of");
  assertStringIncludes(error.message, "split it into shorter conversations");
});
