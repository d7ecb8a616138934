/** `omnivqa mcp`: the tools of an agent, over the Model Context Protocol on standard input and output. */
import { realpath } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { type Static, type TSchema, Type } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { assessmentBrief, distortionBrief, encodeBrief, momentBrief } from '../assessment/brief.ts';
import type { Assessment } from '../assessment/record.ts';
import { printableLines } from '../assessment/text.ts';
import { distortionTypes } from '../assessment/vocabulary.ts';
import { Contents } from '../engine/content.ts';
import { Encodes, outputOf } from '../engine/encodes.ts';
import { cacheDirectory } from '../engine/paths.ts';
import { ResultCache } from '../engine/results.ts';
import { OmniError } from '../protocol/errors.ts';
import { exit, type Io, ProgressLine, serialized } from './io.ts';
import { AssessingModel, type RuntimeFlags } from './load.ts';

export interface McpFlags extends RuntimeFlags {
  readonly model: string;
  /** Folders whose files the tools may read; default: the working directory. */
  readonly root?: readonly string[];
}

/** Characters of one result. */
const longestResult = 8_000;

const strict = { additionalProperties: false };
const path = Type.String({
  minLength: 1,
  maxLength: 4096,
  description: 'The video: a path in one of the folders that the server may read.',
});
const AssessInput = Type.Object({ path }, strict);
const ListInput = Type.Object(
  { path, type: Type.Optional(Type.Enum(distortionTypes, { description: 'Only this type.' })) },
  strict,
);
const MomentInput = Type.Object(
  {
    path,
    start: Type.Number({ minimum: 0, description: 'Seconds from the start.' }),
    end: Type.Optional(
      Type.Number({ minimum: 0, description: 'Seconds, exclusive; one second after the start by default.' }),
    ),
  },
  strict,
);

const tools = {
  assess_video: {
    title: 'Assess the quality of a video',
    description:
      'Perceptual quality of a video without a reference, assessed on this machine: MOS 1 to 5, the worst span and the distortions found, with the record that they are from. The first call on a video computes, the next ones find its record.',
    input: AssessInput,
    text: assessmentBrief,
  },
  list_distortions: {
    title: 'List the distortions of a video',
    description:
      'What is wrong in a video (blur, noise, overexposure, underexposure, compression, stutter), when, where in the frame, how severe and how sure it is; numbered, so that it can be cited.',
    input: ListInput,
    text: (record: Assessment, { type }: Static<typeof ListInput>) => distortionBrief(record, type),
  },
  describe_moment: {
    title: 'Describe a moment of a video',
    description:
      'What the record of a video says about a span: its quality beside that of the whole clip, the distortions, scene cuts, frozen and black pictures there.',
    input: MomentInput,
    text: (record: Assessment, { start, end }: Static<typeof MomentInput>) =>
      momentBrief(record, { start, end: Math.max(end ?? start + 1, start + 0.04) }),
  },
} as const;

const CompareInput = Type.Object(
  {
    path,
    settings: Type.Array(Type.String({ minLength: 1, maxLength: 1000 }), {
      minItems: 1,
      maxItems: 6,
      description: "ffmpeg's output options, one text for each encode, such as -c:v libx264 -crf 23.",
    }),
  },
  strict,
);

const compareEncodes = {
  title: 'Compare encodes of a video',
  description:
    'Encodes a video with each of some settings of ffmpeg, the picture alone, into the own cache, and says how good and how large each is.',
  input: CompareInput,
};

/** @throws OmniError `bad_usage` where the arguments are not those of the tool. */
function checked<I extends { readonly path: string }>(schema: TSchema, given: unknown): I {
  if (Check(schema, given)) return given as I;
  const [first] = Errors(schema, given);
  throw new OmniError(
    'bad_usage',
    `The arguments are not those of the tool: ${first ? `${first.instancePath} ${first.message}` : 'they can not be read'}.`,
    'Call it as its schema says.',
  );
}

/**
 * The file that a tool was told of, with links followed: nothing outside of the roots is read, or found out about.
 *
 * @throws OmniError `file_not_found`.
 */
async function allowedPath(path: string, roots: readonly string[]): Promise<string> {
  const inside = (root: string, file: string) => {
    const way = relative(root, file);
    return way !== '' && !way.startsWith('..') && !isAbsolute(way);
  };
  const found = await Promise.all(roots.map((root) => realpath(root).catch(() => null)));
  const folders = found.flatMap((root) => (root === null ? [] : [root]));
  for (const root of folders) {
    const file = await realpath(resolve(root, path)).catch(() => null);
    if (file !== null && folders.some((folder) => inside(folder, file))) return file;
  }
  throw new OmniError(
    'file_not_found',
    `There is no file ${path} in the folders that may be read.`,
    'Name a file in them, or start the server with --root <folder>.',
  );
}

/** Serves until the input ends. Returns the exit status. */
export async function mcpCommand(flags: McpFlags, version: string, io: Io): Promise<number> {
  const roots = (flags.root ?? ['.']).map((root) => resolve(root));
  const cache = new ResultCache(join(cacheDirectory(), 'results'));
  let model: AssessingModel | null = null;
  let before: Promise<unknown> = Promise.resolve();
  /** One call at a time: the model is one. */
  const alone = <T>(work: () => Promise<T>): Promise<T> => {
    const result = before.then(work);
    before = result.catch(() => undefined);
    return result;
  };

  const encodes = new Encodes(
    join(cacheDirectory(), 'encodes'),
    new Contents(join(cacheDirectory(), 'contents')),
  );

  /** Assesses a clip, or finds its record. */
  const recordOf = (file: string, signal: AbortSignal): Promise<Assessment> =>
    alone(async () => {
      if (signal.aborted) throw new OmniError('cancelled', 'The call was cancelled.', 'Call again.');
      const quiet = { ...io, stdout: io.stderr };
      model ??= await AssessingModel.load(flags.model, flags, quiet, new ProgressLine(io));
      const { record } = await model.assess(file, cache, { signal });
      if (record.status === 'cancelled') {
        throw new OmniError('cancelled', 'The call was cancelled.', 'Call again.');
      }
      return record;
    });

  /** Encodes in several ways, one after the other, and says what came of each. */
  const compare = async (
    { path: source, settings }: Static<typeof CompareInput>,
    signal: AbortSignal,
  ): Promise<string> => {
    const file = await allowedPath(source, roots);
    // Nothing is encoded where one of the settings is none.
    const outputs = settings.map((words) => outputOf(words.trim().split(/\s+/)));
    const lines: string[] = [];
    for (const [index, output] of outputs.entries()) {
      const facts = await encodes.encode(file, output, { signal });
      lines.push(encodeBrief(index + 1, facts, await recordOf(facts.file, signal)));
    }
    return [...lines, `[encodes of ${file}, the picture alone]`].join('\n');
  };

  /** A result as text; a failure as a tool's error with its code, cause and next step. */
  const answer = async (work: () => Promise<string>) => {
    try {
      const text = printableLines(await work());
      const shown = text.length > longestResult ? `${text.slice(0, longestResult)}\n… (cut)` : text;
      return { content: [{ type: 'text' as const, text: shown }] };
    } catch (error) {
      const { code, message, next } = serialized(error);
      return {
        isError: true,
        content: [{ type: 'text' as const, text: printableLines(`[${code}] ${message} ${next}`) }],
      };
    }
  };

  const server = new Server({ name: 'omnivqa', version }, { capabilities: { tools: {} } });
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: Object.entries({ ...tools, compare_encodes: compareEncodes }).map(
      ([name, { title, description, input }]) => ({
        name,
        title,
        description,
        inputSchema: input,
        annotations: { readOnlyHint: name in tools, destructiveHint: false, openWorldHint: false },
      }),
    ),
  }));
  server.setRequestHandler(CallToolRequestSchema, ({ params: { name, arguments: given } }, { signal }) =>
    answer(async () => {
      if (name === 'compare_encodes') return compare(checked(CompareInput, given ?? {}), signal);
      const tool = Object.hasOwn(tools, name) ? tools[name as keyof typeof tools] : undefined;
      if (!tool) {
        throw new OmniError(
          'bad_usage',
          `There is no tool ${name}.`,
          `There are ${[...Object.keys(tools), 'compare_encodes'].join(', ')}.`,
        );
      }
      const input = checked(tool.input, given ?? {});
      return tool.text(await recordOf(await allowedPath(input.path, roots), signal), input as never);
    }),
  );

  const transport = new StdioServerTransport();
  const closed = new Promise<void>((done) => {
    server.onclose = done;
    // The transport does not tell when its input ends.
    io.stdin.once('end', done);
    io.stdin.once('close', done);
    io.signal.addEventListener('abort', () => done(), { once: true });
  });
  try {
    await server.connect(transport);
    await closed;
    return io.signal.aborted ? exit.interrupted : exit.done;
  } finally {
    await server.close();
    await before;
    await (model as AssessingModel | null)?.dispose();
  }
}
