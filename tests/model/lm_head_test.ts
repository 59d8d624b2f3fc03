import { assert, assertEquals } from "@std/assert";
import { Program } from "../../src/gpu/program.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import { LmHead } from "../../src/model/lm_head.ts";
import { CROSS_ENTROPY } from "../../src/model/loss.ts";
import { relativeError } from "../oracle/compare.ts";
import { crossEntropy, IGNORED_LABEL } from "../oracle/loss.ts";
import { matmulNN, matmulNT, matmulTN } from "../oracle/matmul.ts";
import { device } from "../support/device.ts";
import { filled, readVector, uploadMatrix, uploadVector } from "../support/gpu.ts";
import { randomValues } from "../support/random.ts";

const [ROWS, WIDTH, VOCABULARY] = [7, 26, 49];

/** Rows of the slabs of the weight. */
const SLABS = [[49], [32, 17], [16, 32, 1]];

/** How logits are made of products. */
const PLANS = [
  { scale: 1, softCap: null },
  { scale: 0.125, softCap: null },
  { scale: 1, softCap: 2.3 },
  { scale: 1.7, softCap: 3 },
];

/** A head that is trained in f32, and a frozen one in f16, whose rows and gradients are rounded too. */
const WEIGHTS = [{ type: "f32", tolerance: 3e-6 }, { type: "f16", tolerance: 1e-3 }] as const;

for (const plan of PLANS) {
  const { scale, softCap } = plan;
  Deno.test(`the head gives logits, losses and gradients: factor ${scale}, cap ${softCap}`, async () => {
    for (
      const [{ type, tolerance }, rows] of WEIGHTS.flatMap((of) =>
        SLABS.map((s) => [of, s] as const)
      )
    ) {
      const x = uploadMatrix(device, randomValues(ROWS * WIDTH, 1, 2), ROWS, WIDTH);
      const weights = randomValues(VOCABULARY * WIDTH, 2, 1);
      const trained = type === "f32";
      let end = 0;
      const parts = rows.map((count) => {
        const firstRow = end;
        end += count;
        const values = weights.slice(firstRow * WIDTH, end * WIDTH);
        const { matrix, exact } = uploadMatrix(device, values, count, WIDTH, type);
        const dMatrix = filled(device, count, WIDTH, 0);
        const gradient = trained ? () => dMatrix : null;
        return { firstRow, rows: count, value: () => matrix, gradient, exact, dMatrix };
      });
      const w = Float64Array.from(parts.flatMap(({ exact }) => [...exact]));
      const table = { rows: VOCABULARY, cols: WIDTH, slabs: parts };
      const head = new LmHead(device, table, plan);
      const ids = Int32Array.from({ length: ROWS }, (_, t) => t === 3 ? IGNORED_LABEL : t * 8);
      const targets = uploadVector(device, ids).vector;
      const rowLoss = device.vector(ROWS, "f32", "losses");
      const evaluated = device.vector(ROWS, "f32", "losses");
      const dFinal = filled(device, ROWS, WIDTH, NaN);
      const logits = filled(device, ROWS, VOCABULARY, NaN);
      const state = new StepState(device, { beta1: 0, beta2: 0 });
      state.begin({ step: 1, learningRate: 0, targetCount: ROWS - 1 });
      head.reserve(ROWS);
      using program = new Program(device);
      const final = x.matrix;
      head.recordLogits(program, final, logits);
      head.recordLosses(program, { final, targets, rowLoss: evaluated });
      const documents = device.allocate(8 * ROWS, "documents");
      CROSS_ENTROPY.record(program, { head, final, targets, rowLoss, state, documents, dFinal });
      (await program.prepare()).run();

      const products = matmulNT(x.exact, w, ROWS, VOCABULARY, WIDTH).map((y) => scale * y);
      const want = crossEntropy(products, ids, 1 / (ROWS - 1), softCap ?? undefined);
      const wanted = softCap ? products.map((y) => softCap * Math.tanh(y / softCap)) : products;
      const near = (got: Float32Array, want: Float64Array, what: string) => {
        const error = relativeError(got, want);
        assert(error < tolerance, `${what} in ${type}, slabs of ${rows}: ${error}`);
      };
      near(await device.readMatrix(logits), wanted, "logits");
      const losses = await readVector(device, rowLoss);
      assertEquals(await readVector(device, evaluated), losses);
      near(Float32Array.of(losses.reduce((a, b) => a + b)), Float64Array.of(want.lossSum), "loss");
      const gradient = want.dLogits.map((d) => scale * d);
      const dX = matmulNN(gradient, w, ROWS, WIDTH, VOCABULARY);
      near(await device.readMatrix(dFinal), dX, "gradient of the rows");
      if (trained) {
        const dW = matmulTN(gradient, x.exact, VOCABULARY, WIDTH, ROWS);
        const got = await Promise.all(parts.map(({ dMatrix }) => device.readMatrix(dMatrix)));
        const all = Float32Array.from(got.flatMap((part) => [...part]));
        near(all, dW, "gradient of the weight");
      }
      head.release();
      state[Symbol.dispose]();
      device.free(...parts.flatMap(({ value, dMatrix }) => [value(), dMatrix]));
      device.free(x.matrix, targets, rowLoss, evaluated, dFinal, logits);
      device.free(documents);
    }
  });
}
