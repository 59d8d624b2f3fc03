/**
 * Fits examples into rows: too long a text is split, too long a prompt or completion is cut.
 *
 * @module
 */

import { type Document, IGNORED_LABEL, type LoaderStatistics } from "./types.ts";
import type { TokenizedExample } from "./tokenized_example.ts";

/**
 * Splits or truncates an example into documents of at most `sequenceLength` tokens, keeps
 * those that have a target, and counts what it did.
 *
 * Plain text that is too long is split; the last token of a piece is the
 * first of the next one, so that every token but the first is a target exactly once. A
 * prompt with a completion becomes one document: the answer is kept and the
 * prompt cut at its start, where it matters least, but not below a quarter of
 * the sequence, since an answer to nothing teaches nothing; what then still
 * does not fit is cut off the end of the answer.
 *
 * @param bosTokenId Stays the first token of a truncated prompt.
 */
export function fit(
  example: TokenizedExample,
  sequenceLength: number,
  bosTokenId: number | null,
  statistics: LoaderStatistics,
): Document[] {
  let documents: Document[];
  if (example.ids.length <= sequenceLength) {
    documents = [example];
  } else if (example.promptLength === 0) {
    documents = split(example, sequenceLength);
    statistics.splitTexts++;
  } else {
    documents = [truncate(example, sequenceLength, bosTokenId, statistics)];
  }
  return documents.filter((document) => {
    const targets = countTargets(document);
    if (targets === 0) {
      statistics.allMasked++;
      return false;
    }
    statistics.documents++;
    statistics.tokens += document.ids.length;
    statistics.targets += targets;
    return true;
  });
}

/** Targets of a document: nothing predicts its first token. */
function countTargets({ labels }: Document): number {
  let targets = 0;
  for (let i = 1; i < labels.length; i++) if (labels[i] !== IGNORED_LABEL) targets++;
  return targets;
}

function split({ ids, labels }: Document, sequenceLength: number): Document[] {
  const pieces: Document[] = [];
  for (let start = 0; start + 1 < ids.length; start += sequenceLength - 1) {
    const end = start + sequenceLength;
    pieces.push({ ids: ids.subarray(start, end), labels: labels.subarray(start, end) });
  }
  return pieces;
}

function truncate(
  { ids, labels, promptLength }: TokenizedExample,
  sequenceLength: number,
  bosTokenId: number | null,
  statistics: LoaderStatistics,
): Document {
  const leastPrompt = Math.min(promptLength, Math.max(1, Math.floor(sequenceLength / 4)));
  const completionLength = ids.length - promptLength;
  const keptPrompt = Math.max(
    leastPrompt,
    Math.min(promptLength, sequenceLength - completionLength),
  );
  if (keptPrompt < promptLength) statistics.truncatedPrompts++;
  const start = promptLength - keptPrompt;
  if (keptPrompt + completionLength > sequenceLength) {
    statistics.truncatedCompletions++;
    for (let i = start + sequenceLength; i < labels.length; i++) {
      if (labels[i] !== IGNORED_LABEL) statistics.cutTargets++;
    }
  }
  const cutIds = ids.slice(start, start + sequenceLength);
  const cutLabels = labels.slice(start, start + sequenceLength);
  if (ids[0] === bosTokenId && keptPrompt > 1) {
    cutIds[0] = ids[0];
    cutLabels[0] = labels[0];
  }
  return { ids: cutIds, labels: cutLabels };
}
