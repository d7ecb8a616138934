import { describe, expect, it } from 'vitest';
import { atCrf, encodesIn } from '../../../src/comparison/encodes.ts';

const summary = (text: string, language: string, file: string) =>
  encodesIn(text, language, file).encodes.map(({ id, label, source, targetMos, crfRange }) => ({
    id,
    label,
    source,
    targetMos,
    crf: crfRange && text.slice(crfRange.start, crfRange.end),
  }));

describe('the encodes of a file', () => {
  it('are the outputs of its commands, with what they read and where the CRF stands', () => {
    const script = [
      '#!/bin/sh',
      'ffmpeg -i "in put.mp4" -c:v libx264 -crf 23 -c:a copy a.mp4',
      'ffmpeg -i "in put.mp4" -c:v libx265 -crf "28" -vf scale=-2:720 b.mp4 -c:v libx264 -b:v 2M c.mp4',
      'ffmpeg -f lavfi -i testsrc2 -c:v libx264 -crf 20 d.mp4',
      'ffmpeg -i x.mp4 -c copy e.mp4',
    ].join('\n');
    expect(summary(script, 'shellscript', 'go.sh')).toEqual([
      {
        id: 'a.mp4:0#0',
        label: 'libx264 crf 23 (a.mp4)',
        source: 'in put.mp4',
        targetMos: null,
        crf: '23',
      },
      {
        id: 'b.mp4:0#0',
        label: 'libx265 crf 28, 720p (b.mp4)',
        source: 'in put.mp4',
        targetMos: null,
        crf: '28',
      },
      {
        id: 'c.mp4:0#0',
        label: 'libx264 2000 kb/s (c.mp4)',
        source: 'in put.mp4',
        targetMos: null,
        crf: null,
      },
      { id: 'd.mp4:0#0', label: 'libx264 crf 20 (d.mp4)', source: null, targetMos: null, crf: '20' },
    ]);
  });

  it('are one per round of a loop over a literal list, with no CRF to replace', () => {
    const script = 'for crf in 20 30; do\n  ffmpeg -i in.mp4 -crf $crf out-$crf.mp4\ndone\n';
    expect(summary(script, 'shellscript', 'go.sh')).toEqual([
      {
        id: 'out-20.mp4:0#0',
        label: 'libx264 crf 20 (crf=20)',
        source: 'in.mp4',
        targetMos: null,
        crf: null,
      },
      {
        id: 'out-30.mp4:0#0',
        label: 'libx264 crf 30 (crf=30)',
        source: 'in.mp4',
        targetMos: null,
        crf: null,
      },
    ]);
  });

  it('are the rungs of a ladder, with their targets', () => {
    const ladder = [
      'source: clip.mp4',
      'targetMos: 4',
      'rungs:',
      '  - { name: high, height: 720, crf: 22 }',
      '  - name: low',
      '    crf: 30',
      '    targetMos: 3',
      '  - { bitrate: 1M }',
    ].join('\n');
    expect(summary(ladder, 'yaml', 'web.ladder.yaml')).toEqual([
      { id: 'rungs/high', label: 'high', source: 'clip.mp4', targetMos: 4, crf: '22' },
      { id: 'rungs/low', label: 'low', source: 'clip.mp4', targetMos: 3, crf: '30' },
      { id: 'rungs/1M', label: '1M', source: 'clip.mp4', targetMos: 4, crf: null },
    ]);
  });

  it('do not change their settings with the order of options, and do with their values', () => {
    const settings = (command: string) => encodesIn(command, 'shellscript', 'a.sh').encodes[0]?.settings;
    const one = settings('ffmpeg -i a.mp4 -c:v libx264 -preset slow -crf 23 -b:a 96k o.mp4');
    expect(settings('ffmpeg -y -i a.mp4 -crf 23 -vcodec libx264 -preset slow p.mp4')).toBe(one);
    expect(settings('ffmpeg -i a.mp4 -c:v libx264 -preset slow -crf 24 -b:a 96k o.mp4')).not.toBe(one);
  });

  it('are none in what is too long, hostile or not an encode', () => {
    const line = '{"scripts": {"encode": "ffmpeg -i a.mp4 -crf 23 b.mp4"}}';
    expect(encodesIn(line, 'json', 'package.json').encodes).toHaveLength(1);
    expect(encodesIn(`${line}${' '.repeat(40_001)}`, 'json', 'package.json').encodes).toEqual([]);
    expect(encodesIn('ffmpeg -i $(rm -rf /) "', 'shellscript', 'a.sh').encodes).toEqual([]);
    expect(encodesIn('a: &a [*a]', 'yaml', 'x.ladder.yaml').encodes).toEqual([]);
  });

  it('are at another CRF what they are in everything else', () => {
    const script = 'ffmpeg -i a.mp4 -vf scale=-2:720 -c:v libx264 -preset slow -crf 23 b.mp4';
    const [encode] = encodesIn(script, 'shellscript', 'go.sh').encodes;
    const other = atCrf(encode!, 31);
    expect(other).toMatchObject({ id: 'b.mp4:0#0', label: 'libx264 crf 31, 720p, preset slow (b.mp4)' });
    const written = encodesIn(script.replace('23', '31'), 'shellscript', 'go.sh').encodes[0];
    expect(other.settings).toBe(written!.settings);
    expect(atCrf(other, 23)).toEqual(encode);
    const searched = (options: string) =>
      encodesIn(`ffmpeg -i a.mp4 ${options} b.mp4`, 'shellscript', 'go.sh').encodes[0]!.crfSearch;
    expect(searched('-c:v libx264 -crf 23')).toBe(true);
    expect(searched('-c:v libx264 -b:v 1M')).toBe(false);
    expect(searched('-c:v libx265 -crf 23 -x265-params crf=20')).toBe(false);
    expect(searched('-c:v mpeg4 -q:v 4')).toBe(false);
    expect(searched('-c:v constructor -crf 20')).toBe(false);
    expect(searched('-c:v h264 -crf 20')).toBe(true);
    const ladder = 'source: a.mp4\nrungs:\n  - { name: top, crf: 20 }\n';
    const [rung] = encodesIn(ladder, 'yaml', 'web.ladder.yaml').encodes;
    expect(atCrf(rung!, 26)).toMatchObject({ id: 'rungs/top', label: 'top, crf 26' });
  });
});
