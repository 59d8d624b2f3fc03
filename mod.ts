/**
 * Fine-tunes language models on any GPU, from TypeScript: FALQON (FP8 adapters merged into the
 * backbone, arXiv 2510.24061), LoRA and full training, with WGSL kernels on WebGPU.
 *
 * @example Fine-tune a model and save it in FP8
 * ```ts
 * import { Dataset, falqon, Model, requestDevice, Trainer } from "@falqon/webgpu";
 *
 * using device = await requestDevice();
 * using model = await Model.load("./model", { device });
 * const data = Dataset.from("./train.jsonl");
 * using trainer = await Trainer.create({ model, data, method: falqon({ rank: 16 }), steps: 300 });
 * for await (const { step, loss } of trainer.run()) console.log(step, loss);
 * await trainer.save("./out");
 * ```
 *
 * @module
 */

export * from "./src/errors.ts";
export {
  type Device,
  type DeviceOptions,
  type Provider,
  requestDevice,
  type SubgroupMatrixConfig,
} from "./src/gpu/public_device.ts";

export {
  Dataset,
  type DatasetOptions,
  type DataSource,
  type OpenDatasetOptions,
  type RowIterable,
} from "./src/data/dataset.ts";
export type { ColumnMap } from "./src/data/column_map.ts";
export type { DataFormat } from "./src/data/file_kind.ts";
export type { FindOptions } from "./src/data/sources.ts";
export {
  type ShowingEncoder,
  type ShownRow,
  type ShownSegment,
  showRows,
} from "./src/data/preview.ts";
export type { LoaderOptions } from "./src/data/options.ts";
export type { ConversationRenderer, LoaderStatistics, TokenEncoder } from "./src/data/types.ts";

export { Model, type ModelOptions } from "./src/inference/model.ts";
export type { Prompt } from "./src/inference/prompt.ts";
export type { LabelledSequence, LossAndGradients } from "./src/inference/sequence_loss.ts";
export type { ModelConfig } from "./src/model/config.ts";
export type { CodeFormat } from "./src/numerics/formats.ts";
export type {
  OtherActivations,
  QuantizationConfig,
  QuantizationMethod,
} from "./src/model/quantization_config.ts";
export type { BlockShape } from "./src/numerics/scale_grid.ts";
export type { Rotations, Transforms } from "./src/model/transform_config.ts";
export type {
  LinearRopeScaling,
  Llama3RopeScaling,
  LongRopeScaling,
  ProportionalRopeScaling,
  RopeScaling,
  YarnRopeScaling,
} from "./src/model/rope_scaling.ts";
export { Chat } from "./src/inference/chat.ts";
export type { GenerateOptions } from "./src/inference/generate.ts";
export type { SamplingOptions } from "./src/inference/sampling.ts";
export type {
  ChatMessage,
  ChatTemplate,
  ContentPart,
  RenderOptions,
  Tokenizer,
  TokenizerOptions,
  TokenStream,
} from "./src/io/tokenizer.ts";

export { falqon, frozenFp8, frozenInt8 } from "./src/methods/falqon/falqon.ts";
export type { FalqonOptions, Rounding, UpdateRule } from "./src/methods/falqon/settings.ts";
export type { AdapterInit } from "./src/methods/falqon/adapter_init.ts";
export { frozen } from "./src/methods/frozen.ts";
export { full } from "./src/methods/full.ts";
export { fp8Lora, int8Lora, lora, qlora, torchaoStyle } from "./src/methods/lora/lora.ts";
export type { AdapterOptions, LoraOptions } from "./src/methods/lora/settings.ts";
export type { DenseType, Method, UpdateMetrics } from "./src/layers/method.ts";
export type { BaseType } from "./src/layers/storage/base_weight.ts";
export type { Precision } from "./src/layers/operand.ts";
export type { ScaleGranularity } from "./src/numerics/formats.ts";
export {
  type LoraTensors,
  type PeftAdapter,
  type PeftConfig,
  type PeftTensor,
  readPeftAdapter,
} from "./src/io/peft.ts";

export { EventFile, type Scalars } from "./src/io/event_file.ts";
export { baseOfAdapter } from "./src/io/hub/base.ts";
export { fetchData } from "./src/io/hub/data.ts";
export { fetchModel, type FetchOptions } from "./src/io/hub/model.ts";
export { modelCard, type ModelCardFacts } from "./src/io/hub/model_card.ts";
export { pushModel, type PushOptions, type PushResult } from "./src/io/hub/push.ts";
export type { HubOptions } from "./src/io/hub/settings.ts";
export type { FetchProgress } from "./src/io/hub/snapshot.ts";

export {
  exportGguf,
  type GgufOptions,
  type GgufResult,
  type GgufType,
} from "./src/inference/export_gguf.ts";
export {
  evaluate,
  type EvaluateOptions,
  type Evaluation,
  type EvaluationProgress,
} from "./src/inference/evaluate.ts";
export type {
  Abortable,
  PlainOptions,
  ResolvedOptions,
  TrainerOptions,
} from "./src/train/options.ts";
export type { FlatOptions, OptimizerOptions, RowOptions } from "./src/train/option_groups.ts";
export { type MergeFormat, mergeModel, type MergeOptions } from "./src/inference/merge.ts";
export type { SaveFormat, SaveOptions, SaveResult } from "./src/inference/save_model.ts";
export type { HeldOutLoss, TrainingMetrics } from "./src/train/metrics.ts";
export { Trainer } from "./src/train/trainer.ts";
export { type RestartFrom, restartOnDeviceLost, type RestartOptions } from "./src/train/restart.ts";
export { useCheckpoint } from "./src/train/use_checkpoint.ts";
export {
  findLearningRate,
  type FindRateOptions,
  type FoundRate,
  type TriedRate,
} from "./src/train/find_learning_rate.ts";
export { defaultLearningRate } from "./src/train/learning_rate.ts";
export type { SaveInterval } from "./src/train/save_interval.ts";
export type { ScheduleName } from "./src/train/schedule.ts";
