import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { truthId } from '../../../src/dataset/truth.ts';
import {
  type AskedClip,
  chatRoadRows,
  knownQuestions,
  questionKinds,
  wilson,
} from '../../../src/evaluation/chat_road.ts';
import { parseQuestion } from '../../../src/model/questions.ts';
import { omnivqa } from '../../support/cli.ts';
import { temporaryCache } from '../../support/engine.ts';
import { temporaryDirectory, writeClip } from '../../support/media.ts';

const distortion = {
  type: 'blur' as const,
  start: 1,
  end: 2,
  region: { x: 0.5, y: 0, width: 0.5, height: 0.5 },
  severity: 'severe' as const,
};
const clips: AskedClip[] = Array.from({ length: 8 }, (_, i) => ({
  file: `${i}.mp4`,
  duration: 4,
  truth: [distortion],
}));

describe('questions whose answers are known', () => {
  it('are of every kind, understood as they are meant, and offer the right answer once', () => {
    const questions = knownQuestions(clips, 40, 1);
    expect(questions).toHaveLength(40);
    expect(knownQuestions(clips, 40, 1)).toEqual(questions);
    expect(knownQuestions(clips, 40, 2)).not.toEqual(questions);
    expect([...new Set(questions.map(({ kind }) => kind))]).toEqual([...questionKinds]);
    for (const { kind, text, options } of questions) {
      const { form, choices } = parseQuestion(text);
      expect(form).toBe(kind === 'yes or no' ? 'is' : 'choice');
      if (form === 'choice') expect(choices).toHaveLength(options);
    }
    expect(
      new Set(questions.filter(({ kind }) => kind === 'type').map(({ right }) => right)).size,
    ).toBeGreaterThan(1);
  });

  it('are counted by kind, beside chance', () => {
    const [question, ...others] = knownQuestions(clips, 5, 1);
    const rows = chatRoadRows([
      { question: question!, answer: question!.right },
      ...others.map((one) => ({ question: one, answer: null })),
    ]);
    expect(rows.map(({ kind, questions, right }) => [kind, questions, right])).toEqual([
      ['type', 1, 1],
      ['when', 1, 0],
      ['where', 1, 0],
      ['severity', 1, 0],
      ['yes or no', 1, 0],
      ['all', 5, 1],
    ]);
    expect(rows[0]!.chance).toBe(1 / 4);
  });

  it('have the interval of Wilson', () => {
    const { value, low, high } = wilson(8, 10);
    expect(value).toBe(0.8);
    expect(low).toBeCloseTo(0.4902, 4);
    expect(high).toBeCloseTo(0.9433, 4);
  });

  it('are asked of the embedded model by the command', async () => {
    temporaryCache();
    const folder = temporaryDirectory();
    writeClip(join(folder, 'a.mp4'), { seconds: 3 });
    const sha256 = '0'.repeat(64);
    const line = {
      ...{ schema: truthId, index: 0, file: 'a.mp4', sha256, source: 'a', sourceSha256: sha256 },
      ...{ recipe: 'blur', level: 0, parameters: {}, type: 'blur', severity: 'severe' },
      distortions: [distortion],
      clip: { start: 0, frames: 30, rate: '10/1', width: 160, height: 96 },
      ...{ seed: 1, ffmpeg: '6' },
    };
    writeFileSync(join(folder, 'truth.jsonl'), `${JSON.stringify(line)}\n`);
    const { status, stdout } = await omnivqa([
      ...['evaluate', 'fine-grained', '--truth', join(folder, 'truth.jsonl'), '--road', 'chat'],
      ...['--questions', '5', '--format', 'json', '--provider', 'cpu', '--threads', '1'],
    ]);
    expect(status).toBe(0);
    const { schema, rows } = JSON.parse(stdout);
    expect(schema).toBe('omnivqa/evaluation-chat-road@1');
    expect(rows.at(-1)).toMatchObject({ kind: 'all', questions: 5 });
  }, 60_000);
});
