import { dirname, join, resolve } from 'node:path';
import type { Assessment } from '../assessment/record.ts';
import { safeJson } from '../assessment/text.ts';
import { levelNames } from '../assessment/vocabulary.ts';
import { parseTruth, type Truth } from '../dataset/truth.ts';
import { Chats } from '../engine/chats.ts';
import type { EngineModel } from '../engine/models.ts';
import { cacheDirectory } from '../engine/paths.ts';
import { ResultCache } from '../engine/results.ts';
import { chatRoadRows, chatRoadTables, type KnownQuestion, knownQuestions } from '../evaluation/chat_road.ts';
import { fineGrainedTables, judgedCandidates, localisationReport } from '../evaluation/fine_grained.ts';
import { guessScale, type LabelScale, parseLabels } from '../evaluation/labels.ts';
import { rateAgreement, ratingTables } from '../evaluation/rating.ts';
import { markdownTables, type Table, textTables } from '../evaluation/tables.ts';
import { candidates as candidatesOf, type ProbedStep, stepGap } from '../model/segments.ts';
import { OmniError } from '../protocol/errors.ts';
import { refuseKnownNonVideo } from '../video/formats.ts';
import { errorText, exit, type Io, ProgressLine, serialized } from './io.ts';
import { note, readJson, readText } from './json_files.ts';
import { AssessingModel, loadForCommand, type RuntimeFlags } from './load.ts';
import { OutputFile } from './output.ts';

export const tableFormats = ['text', 'json', 'markdown'] as const;

interface EvaluateFlags extends RuntimeFlags {
  readonly model: string;
  readonly videos?: string;
  readonly format: (typeof tableFormats)[number];
  readonly output?: string;
  readonly cache: boolean;
}

export interface RatingFlags extends EvaluateFlags {
  readonly labels: string;
  readonly logistic: boolean;
  readonly group?: 'distortion' | 'content';
  readonly scale?: LabelScale;
}

export interface FineGrainedFlags extends EvaluateFlags {
  readonly truth: string;
  /** `record`: what assessing finds; `chat`: what is answered when it is asked. */
  readonly road: 'record' | 'chat';
  /** Where to write what could be a distortion, for `python -m omnivqa.nano segments`. */
  readonly candidates?: string;
  readonly questions: number;
  readonly seed: number;
}

/** `omnivqa evaluate rating`: the model's scores against a label file's. Returns the exit status. */
export async function evaluateRatingCommand(flags: RatingFlags, io: Io): Promise<number> {
  const { value: labels, problems } = parseLabels(await readJson(flags.labels));
  note(problems, io);
  const folder = flags.videos ?? dirname(flags.labels);
  return evaluate(
    flags,
    labels,
    ({ path }) => resolve(folder, path),
    () => undefined,
    io,
    (assessed, model) => {
      const scale = flags.scale ?? guessScale(labels.map(({ score }) => score));
      const report = rateAgreement(
        assessed.map(({ item, record }) => ({
          path: item.path,
          content: item.content,
          distortion: item.distortion,
          label: item.score,
          score: record.score,
          levels: levelNames.map((name) => record.levels[name]),
        })),
        { scale, logistic: flags.logistic, group: flags.group },
      );
      return {
        json: { schema: 'omnivqa/evaluation-rating@1', model, labels: labels.length, ...report },
        tables: ratingTables(report),
      };
    },
  );
}

/** `omnivqa evaluate fine-grained`: what the model says is wrong against what was done. Returns the exit status. */
export async function evaluateFineGrainedCommand(flags: FineGrainedFlags, io: Io): Promise<number> {
  const { value: lines, problems } = parseTruth(await readText(flags.truth));
  note(problems, io);
  if (lines.length === 0) {
    throw new OmniError(
      'bad_usage',
      `${flags.truth} has no line of truth.`,
      'Give the truth.jsonl that `omnivqa dataset degrade` wrote.',
    );
  }
  const folder = flags.videos ?? dirname(flags.truth);
  if (flags.road === 'chat') return evaluateChatRoad(flags, lines, folder, io);
  const localises = ({ id, config }: EngineModel) => {
    if (config.omnivqa.localization) return;
    throw new OmniError(
      'bad_usage',
      `${id} was not trained to find distortions.`,
      'Name a model that localises; the rating of any model is measured by `evaluate rating`.',
    );
  };
  const candidates = flags.candidates === undefined ? undefined : await OutputFile.open(flags.candidates);
  try {
    return await evaluate(
      // What is kept of earlier results does not say what the steps were.
      candidates ? { ...flags, cache: false } : flags,
      lines,
      ({ file }) => join(folder, file),
      localises,
      io,
      async (assessed, model) => {
        const clips = assessed.map(({ item, record }) => {
          const [frames, seconds] = item.clip.rate.split('/').map(Number);
          return {
            path: item.file,
            content: item.sourceSha256,
            recipe: item.recipe,
            duration: (item.clip.frames * (seconds ?? 1)) / (frames ?? 1),
            truth: item.distortions,
            said: record.distortions ?? [],
          };
        });
        const report = localisationReport(clips);
        if (candidates) {
          const judged = clips.map((clip, i) => {
            const { steps, record } = assessed[i]!;
            return judgedCandidates(clip, candidatesOf(steps, stepGap(record.video.fps)));
          });
          await candidates.write(judged.map((one) => `${safeJson(one)}\n`).join(''));
        }
        return {
          json: { schema: 'omnivqa/evaluation-fine-grained@1', model, truths: lines.length, ...report },
          tables: fineGrainedTables(report),
        };
      },
    );
  } finally {
    await candidates?.close();
  }
}

/** Asks questions whose answers are known. A clip that can not be read leaves its questions out. */
async function evaluateChatRoad(
  flags: FineGrainedFlags,
  lines: readonly Truth[],
  folder: string,
  io: Io,
): Promise<number> {
  const output = flags.output === undefined ? undefined : await OutputFile.open(flags.output);
  const progress = new ProgressLine(io);
  try {
    const questions = knownQuestions(
      lines.map(({ file, clip, distortions }) => {
        const [frames, seconds] = clip.rate.split('/').map(Number);
        return { file, duration: (clip.frames * (seconds ?? 1)) / (frames ?? 1), truth: distortions };
      }),
      flags.questions,
      flags.seed,
    );
    const model = await loadForCommand(flags.model, flags, io, progress);
    const chats = new Chats({ use: (_, __, work) => work(model), record: async () => null });
    const asked: { question: KnownQuestion; answer: number | null }[] = [];
    let left = 0;
    try {
      for (const [i, question] of questions.entries()) {
        progress.show('Asking', i, questions.length, 'questions');
        const path = join(folder, question.file);
        const where = { path, model: flags.model, provider: 'auto' as const, teamFolder: null };
        const { chat } = await chats.open({ ...where, span: null });
        try {
          const { options } = await chats.ask(
            { chat, turn: String(i), question: question.text, span: null, attachments: [] },
            io.signal,
          );
          const answer = options?.findIndex(({ chosen }) => chosen) ?? -1;
          asked.push({ question, answer: answer < 0 ? null : answer });
        } catch (error) {
          progress.clear();
          if (OmniError.is(error, 'cancelled')) return exit.interrupted;
          left++;
          io.stderr.write(errorText(serialized(error), path));
        } finally {
          chats.close(chat);
        }
      }
    } finally {
      progress.clear();
      chats.dispose();
      await model.dispose();
    }
    if (asked.length === 0) return exit.failed;
    const rows = chatRoadRows(asked);
    const { id, revision } = model;
    const json = {
      schema: 'omnivqa/evaluation-chat-road@1',
      model: { id, revision },
      seed: flags.seed,
      rows,
    };
    const tables = chatRoadTables(rows);
    const document =
      flags.format === 'json'
        ? `${safeJson(json, 2)}\n`
        : flags.format === 'markdown'
          ? markdownTables(tables)
          : textTables(tables);
    if (output) await output.write(document);
    else io.stdout.write(document);
    return left > 0 ? exit.failed : exit.done;
  } finally {
    progress.clear();
    await output?.close();
  }
}

interface Assessed<Item> {
  readonly item: Item;
  readonly record: Assessment;
  /** What was said about each step; none where an earlier result was taken. */
  readonly steps: readonly ProbedStep[];
}

interface Figures {
  readonly json: object;
  readonly tables: readonly Table[];
}

/**
 * Assesses the clip of every item and prints what is computed from all that could be.
 *
 * @param suits throws where the model can't answer what is evaluated
 */
async function evaluate<Item>(
  flags: EvaluateFlags,
  items: readonly Item[],
  pathOf: (item: Item) => string,
  suits: (model: EngineModel) => void,
  io: Io,
  figures: (assessed: readonly Assessed<Item>[], model: Assessment['model']) => Figures | Promise<Figures>,
): Promise<number> {
  const output = flags.output === undefined ? undefined : await OutputFile.open(flags.output);
  const progress = new ProgressLine(io);
  try {
    const model = await AssessingModel.load(flags.model, flags, io, progress);
    const cache = flags.cache ? new ResultCache(join(cacheDirectory(), 'results')) : undefined;
    const assessed: Assessed<Item>[] = [];
    try {
      suits(model.model);
      for (const [i, item] of items.entries()) {
        const path = pathOf(item);
        progress.show('Assessing', i, items.length, 'clips');
        try {
          await refuseKnownNonVideo(path);
          let steps: readonly ProbedStep[] = [];
          const { record } = await model.assess(path, cache, {
            signal: io.signal,
            onStep: ({ windows }) => {
              steps = windows.flatMap(({ probes }) => probes ?? []);
            },
          });
          if (record.status === 'cancelled') return exit.interrupted;
          // A score of half a clip is no score of the clip that people saw.
          if (record.status === 'partial') {
            throw new OmniError(
              'nothing_decoded',
              `Only part of ${path} could be assessed.`,
              'Assess it by itself to see why.',
              { path, findings: record.problems.map(({ message }) => message) },
            );
          }
          assessed.push({ item, record, steps });
        } catch (error) {
          progress.clear();
          if (OmniError.is(error, 'cancelled')) return exit.interrupted;
          io.stderr.write(errorText(serialized(error), path));
        }
      }
    } finally {
      progress.clear();
      await model.dispose();
    }
    const [first] = assessed;
    if (!first) return exit.failed;
    const left = items.length - assessed.length;
    if (left > 0) {
      io.stderr.write(`${assessed.length} of ${items.length} clips assessed; the figures are theirs.\n`);
    }
    const { json, tables } = await figures(assessed, first.record.model);
    const document =
      flags.format === 'json'
        ? `${safeJson(json, 2)}\n`
        : flags.format === 'markdown'
          ? markdownTables(tables)
          : textTables(tables);
    if (output) await output.write(document);
    else io.stdout.write(document);
    return left > 0 ? exit.failed : exit.done;
  } finally {
    progress.clear();
    await output?.close();
  }
}
