/**
 * The model families: a new one is a function in a file beside this one and a line here. The fields
 * of config.json that it reads are claimed; `claimed_fields.ts` refuses what it should have read.
 *
 * @module
 */

import type { JsonFields } from "../../io/json.ts";
import type { ModelPlan } from "../plan.ts";
import { llama, mistral } from "./llama.ts";

/** A family: its plan, and the models that are known by it. */
export interface Family {
  /** Makes the plan of a config. */
  plan(fields: JsonFields): ModelPlan;
  /** The classes of transformers that compute this graph begin with this. */
  readonly className: string;
}

/** By `model_type`. */
export const FAMILIES: Readonly<Record<string, Family>> = {
  llama: { plan: llama, className: "Llama" },
  mistral: { plan: mistral, className: "Mistral" },
};
