import { readFileSync } from 'node:fs';
import Ajv from 'ajv';
import { describe, expect, it } from 'vitest';
import { normaliseArguments, outputArguments } from '../../../src/comparison/arguments.ts';
import { mostRungs } from '../../../src/comparison/ladder_schema.ts';
import { isLadderFile, type Ladder, parseLadders } from '../../../src/comparison/ladders.ts';

const read = (text: string, file = 'x.ladder.yaml') => parseLadders(text, file);
const only = (text: string, file = 'x.ladder.yaml'): Ladder => {
  const { value } = read(text, file);
  expect(value).toHaveLength(1);
  return value[0]!;
};
const spans = (text: string, file: string) =>
  only(text, file).rungs.map(({ start, end }) => text.slice(start, end));

const example = `# The ladder of the park.
schema: omnivqa/ladder@1
source: clips/park.mp4
targetMos: 4
defaults:
  codec: libx264
  preset: slow
rungs:
  - name: top
    height: 1080
    crf: 21
    targetMos: 4.5
    args: [-x264-params, 'aq-mode=3:psy-rd=1.0']
  - { height: 720, bitrate: 2.5M, maxrate: 4M, bufsize: 5M, twoPass: true }
  - name: low
    codec: libsvtav1
    preset: 6
    height: 480
    crf: 38
    fps: 25
    pixelFormat: yuv420p10le
    gop: 240
`;

describe('our own ladder', () => {
  it('is read with the span of each rung', () => {
    const { value, problems } = read(example);
    expect(problems).toEqual([]);
    expect(value).toMatchObject([
      {
        kind: 'ladder',
        source: 'clips/park.mp4',
        targetMos: 4,
        rungs: [
          {
            name: 'top',
            targetMos: 4.5,
            twoPass: false,
            output: { video: { codec: 'libx264', crf: 21, preset: 'slow' } },
          },
          {
            name: '720p 2.5M',
            targetMos: 4,
            twoPass: true,
            output: { video: { bitrate: 2_500_000, maxrate: 4e6, bufsize: 5e6, crf: null } },
          },
          {
            name: 'low',
            targetMos: 4,
            output: {
              video: { codec: 'libsvtav1', crf: 38, fps: 25, gop: 240, size: { width: null, height: 480 } },
            },
          },
        ],
      },
    ]);
    expect(example.slice(value[0]!.rungs[1]!.start, value[0]!.rungs[1]!.end)).toBe(
      '{ height: 720, bitrate: 2.5M, maxrate: 4M, bufsize: 5M, twoPass: true }',
    );
    expect(example.slice(value[0]!.rungs[2]!.start).startsWith('name: low')).toBe(true);
  });

  it('gives our own arguments', () => {
    const [top, middle] = only(example).rungs;
    expect(outputArguments(top!.output)).toEqual({
      value: [
        ...['-map', '0:v:0', '-an', '-sn', '-dn', '-map_metadata', '-1'],
        ...['-filter:v', 'scale=-2:1080', '-c:v', 'libx264', '-preset', 'slow', '-crf', '21'],
        ...['-x264-params', 'aq-mode=3:psy-rd=1.0'],
      ],
      problems: [],
    });
    expect(normaliseArguments(middle!.output)).toContain('-pass');
  });

  it('is the same in JSON and TOML', () => {
    const data = {
      targetMos: 4,
      rungs: [
        { height: 720, crf: 23 },
        { height: 480, bitrate: '900k' },
      ],
    };
    const yaml = only('targetMos: 4\nrungs:\n  - {height: 720, crf: 23}\n  - {height: 480, bitrate: 900k}\n');
    const json = only(JSON.stringify(data, null, '\t'), 'a.ladder.json');
    const toml = only(
      'targetMos = 4\n[[rungs]]\nheight = 720\ncrf = 23\n\n[[rungs]]\nheight = 480\nbitrate = "900k"\n',
      'a.ladder.toml',
    );
    const seen = ({ rungs }: Ladder) =>
      rungs.map(({ name, targetMos, output }) => [name, targetMos, output.options]);
    expect(seen(json)).toEqual(seen(yaml));
    expect(seen(toml)).toEqual(seen(yaml));
  });

  it('takes a rung’s own steering in place of the defaults’', () => {
    const [one, two] = only('defaults: {crf: 20}\nrungs: [{bitrate: 1M}, {height: 360}]').rungs;
    expect([one!.output.video!.crf, one!.output.video!.bitrate, two!.output.video!.crf]).toEqual([
      null,
      1e6,
      20,
    ]);
  });

  it('follows anchors and merges', () => {
    const ladder = only(
      'x: &base {codec: libx265, crf: 24}\nrungs:\n  - {<<: *base, height: 720}\n  - <<: *base\n    crf: 28\n',
    );
    expect(ladder.rungs.map(({ output }) => [output.video?.codec, output.video?.crf])).toEqual([
      ['libx265', 24],
      ['libx265', 28],
    ]);
  });

  it.each([
    ['rungs: [{height: 720, crf: 99}]', 'bad_field', '99'],
    ['rungs: [{height: 720, crf: 24, bitrate: 1M}]', 'bad_field', '{height: 720, crf: 24, bitrate: 1M}'],
    ['rungs: [{height: 720, crf: 24, qualty: 3}]', 'bad_field', 'qualty: 3'],
    ['rungs: [{height: 720, bitrate: fast}]', 'bad_field', 'fast'],
    ['rungs: [{crf: 24, targetMos: 9}]', 'bad_field', '9'],
    ['rungs: []', 'bad_field', '[]'],
    ['rungs: 3', 'bad_field', '3'],
    ['height: 3', 'bad_field', 'height: 3'],
    ['', 'bad_field', ''],
    ['rungs: [{name: a, crf: 20}, {name: a, crf: 21}]', 'duplicate_name', 'a'],
    ['rungs: [{crf: 20, args: [-i, /etc/passwd]}]', 'bad_args', '[-i, /etc/passwd]'],
    ['rungs: [{crf: 20, args: [/tmp/other.mp4]}]', 'bad_args', '[/tmp/other.mp4]'],
    ['rungs: [{crf: 20, args: [-f, tee]}]', 'bad_args', '[-f, tee]'],
    ['rungs: [{crf: 20, args: [-g]}]', 'bad_args', '[-g]'],
    ['rungs: [\n', 'not_readable', 'rungs: [\n'],
  ])('says what is wrong: %s', (text, code, where) => {
    const { problems } = read(text);
    expect(problems.map((problem) => problem.code)).toContain(code);
    const problem = problems.find((one) => one.code === code)!;
    const said = text.slice(problem.start, problem.end);
    expect(said.endsWith(where)).toBe(true);
    expect(problem.message).toMatch(/\.$|^Line \d+/);
  });

  it('keeps the rungs that can be read', () => {
    const { value, problems } = read(
      'rungs: [{height: 720, crf: 24, preset: [1]}, {height: 480, crf: 26}, 7]',
    );
    expect(value[0]!.rungs.map(({ name }) => name)).toEqual(['720p crf 24', '480p crf 26']);
    expect(problems.length).toBeGreaterThan(0);
  });
});

describe('hostile ladders', () => {
  const bomb = `a: &a [x, x, x, x, x, x, x, x, x]\n${[...'bcdefghi']
    .map((one, index) => `${one}: &${one} [${Array(9).fill(`*${'abcdefgh'[index]}`).join(', ')}]`)
    .join('\n')}\nrungs: *i\n`;

  it.each([
    [
      '10,000 rungs',
      `rungs:\n${'  - {height: 720, crf: 24}\n'.repeat(10_000)}`,
      'a.ladder.yaml',
      'too_large',
      /10000 rungs/,
    ],
    [
      '10,000 rungs of TOML',
      '[[rungs]]\ncrf = 24\n'.repeat(10_000),
      'a.ladder.toml',
      'too_large',
      /10000 rungs/,
    ],
    ['a bomb of aliases', bomb, 'a.ladder.yaml', 'too_large', /aliases/],
    ['an alias of itself', 'rungs: &r [*r]', 'a.ladder.yaml', 'too_large', /itself/],
    ['nesting', `rungs: ${'['.repeat(5000)}`, 'a.ladder.yaml', 'not_readable', /./],
    ['closed nesting', `rungs: ${'['.repeat(200)}${']'.repeat(200)}`, 'a.ladder.json', 'too_large', /deep/],
    ['nesting of TOML', `rungs = ${'['.repeat(100_000)}`, 'a.ladder.toml', 'not_readable', /nested/],
    ['length', `# ${'x'.repeat(1_000_001)}`, 'a.ladder.yaml', 'too_large', /large/],
  ])('%s is refused in words', (_, text, file, code, words) => {
    const { value, problems } = parseLadders(text, file);
    expect(value).toEqual([]);
    expect(problems[0]?.message).toMatch(words);
    expect(['too_large', 'not_readable']).toContain(problems[0]?.code);
    expect(problems[0]?.code === code || code === 'not_readable').toBe(true);
  });

  it.each([
    '$(touch x)',
    '; rm -rf ~',
    '`id`',
    '-i /etc/passwd',
    'libx264\n-y',
    '../../x',
    '%d',
    'file:/etc/passwd',
    '"; x',
    '__proto__',
    '\u202e\u0000',
  ])('injects nothing through %j', (text) => {
    const quoted = JSON.stringify(text);
    const fields = ['codec', 'preset', 'tune', 'pixelFormat', 'bitrate', 'name'].map(
      (field) => `${field}: ${quoted}`,
    );
    for (const field of [
      ...fields,
      `args: [${quoted}]`,
      `args: [-preset, ${quoted}]`,
      `args: [-x264-params, ${quoted}]`,
    ]) {
      for (const { rungs } of read(`rungs: [{height: 720, ${field}}]`).value) {
        for (const { output } of rungs) {
          const argv = outputArguments(output).value ?? [];
          for (const word of argv) {
            expect(word).not.toMatch(/\/|`|\$|;|\p{Cc}|\p{Cf}|"|^-i$|^-y$/u);
          }
        }
      }
    }
  });

  it('never throws, whatever the text', () => {
    const pieces = [
      'rungs:',
      '\n',
      '  ',
      '- ',
      '{',
      '}',
      '[',
      ']',
      'height: 720',
      'crf: 20',
      ',',
      ':',
      '&a ',
      '*a',
      '<<: ',
      '"',
      "'",
      '|',
      '>',
      '#',
      '[[rungs]]',
      'a = ',
      '1e999',
      '.nan',
      '!!js ',
      '\t',
      '---\n',
      '\u0000',
      '\ud800',
      '? ',
    ];
    let state = 7;
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state % below;
    };
    for (let round = 0; round < 800; round += 1) {
      const text = Array.from({ length: random(30) }, () => pieces[random(pieces.length)]).join('');
      for (const file of ['a.ladder.yaml', 'a.ladder.toml', 'a.ladder.json', 'a.yaml', 'a.json', 'a.toml'])
        parseLadders(text, file);
    }
  });

  it('does not reach a prototype', () => {
    read(
      'rungs: [{crf: 20, __proto__: {polluted: 1}, constructor: {prototype: {polluted: 1}}}]\n__proto__: {polluted: 1}',
    );
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe('ladders of other tools', () => {
  it.each<[string, string, string, unknown[]]>([
    [
      'renditions with kilobits',
      'a.json',
      '{"renditions": [{"width": 1920, "height": 1080, "bitrate": 5000}, {"width": 1280, "height": 720, "bitrate": 2800}]}',
      [
        { name: '1080p 5000000', output: { video: { bitrate: 5e6, size: { width: 1920, height: 1080 } } } },
        { output: { video: { bitrate: 2_800_000 } } },
      ],
    ],
    [
      'rates with units, short names',
      'a.json',
      '[{"height": 360, "bv": "800k", "maxrate": "856k", "bufsize": "1200k", "ba": "96k", "master_title": "360p"}, {"height": 720, "bv": "2800k", "maxrate": "2996k", "bufsize": "4200k", "ba": "128k", "master_title": "720p"}]',
      [
        { name: '360p', output: { video: { bitrate: 800_000, maxrate: 856_000, bufsize: 1_200_000 } } },
        { name: '720p', output: { video: { bitrate: 2_800_000 } } },
      ],
    ],
    [
      'a map by name, with codecs',
      'a.yaml',
      'video_encode_list:\n  2160p.hevc: {codec: hevc, codded_width: "3840", codded_height: "2160", maxrate: "30000", bufsize: "40000", encode_speed: medium, crf: "21.6"}\n  1080p.avc: {codec: avc, codded_height: "1080", maxrate: "12000", crf: 18}\n',
      [
        {
          name: '2160p.hevc',
          output: {
            video: {
              codec: 'libx265',
              crf: 21.6,
              maxrate: 30e6,
              preset: 'medium',
              size: { width: 3840, height: 2160 },
            },
          },
        },
        { name: '1080p.avc', output: { video: { codec: 'libx264', crf: 18, maxrate: 12e6 } } },
      ],
    ],
    [
      'sizes as text, megabits, an encoder above',
      'a.yaml',
      'encoder: libx265\npreset: slow\nladder:\n  - resolution: 1920x1080\n    bitrate: 4.5\n  - resolution: 720p\n    bitrate: 2\n',
      [
        {
          output: {
            video: {
              codec: 'libx265',
              preset: 'slow',
              bitrate: 4_500_000,
              size: { width: 1920, height: 1080 },
            },
          },
        },
        { output: { video: { bitrate: 2e6, size: { width: null, height: 720 } } } },
      ],
    ],
    [
      'nested as cloud encoders have it',
      'job.json',
      '{"Outputs": [{"NameModifier": "_1080", "VideoDescription": {"Width": 1920, "Height": 1080, "CodecSettings": {"Codec": "H_264", "H264Settings": {"MaxBitrate": 5000000}}}, "AudioDescriptions": {"Bitrate": 96000}}, {"NameModifier": "_720", "VideoDescription": {"Width": 1280, "Height": 720, "CodecSettings": {"Codec": "H_264", "H264Settings": {"MaxBitrate": 3000000}}}}]}',
      [
        { name: '_1080', output: { video: { codec: 'libx264', maxrate: 5e6, bitrate: null } } },
        { name: '_720', output: { video: { maxrate: 3e6 } } },
      ],
    ],
    [
      'tables of TOML',
      'a.toml',
      'codec = "av1"\n\n[[profiles]]\nname = "hd"\nheight = 720\ncrf = 30\n\n[[profiles]]\nname = "sd"\nheight = 480\ncrf = 34\n',
      [
        { name: 'hd', output: { video: { codec: 'libsvtav1', crf: 30 } } },
        { name: 'sd', output: { video: { crf: 34 } } },
      ],
    ],
    [
      'rates whose name has the unit, names that have the size',
      'a.yml',
      'variants:\n  - {name: 1080p, video_bitrate_kbps: 4000}\n  - {name: 480p, video_bitrate_kbps: 1000}\n',
      [
        { name: '1080p', output: { video: { bitrate: 4e6, size: { height: 1080 } } } },
        { name: '480p', output: { video: { bitrate: 1e6 } } },
      ],
    ],
  ])('%s', (_, file, text, rungs) => {
    const ladder = only(text, file);
    expect(ladder.kind).toBe('renditions');
    expect(ladder.rungs).toMatchObject(rungs);
    for (const rung of ladder.rungs) expect(outputArguments(rung.output).value).not.toBeNull();
  });

  it('has the span of each item', () => {
    expect(spans('{"a": [{"height": 1, "crf": 2}, {"height": 360, "crf": 30}]}', 'a.json')).toEqual([
      '{"height": 1, "crf": 2}',
      '{"height": 360, "crf": 30}',
    ]);
    expect(
      spans('[[v]]\nheight = 720\ncrf = 2\n\n[[v]]\nheight = 480\ncrf = 3\n[x]\ny = 1\n', 'a.toml'),
    ).toEqual(['[[v]]\nheight = 720\ncrf = 2', '[[v]]\nheight = 480\ncrf = 3']);
    expect(
      spans('v = [\n  { height = 720, crf = 2 }, # }\n  { height = 480, crf = 3 },\n]\n', 'a.toml'),
    ).toEqual(['{ height = 720, crf = 2 }', '{ height = 480, crf = 3 }']);
    expect(spans('l:\n  hd: {height: 720, crf: 3}\n  sd: {height: 480, crf: 3}\n', 'a.yaml')).toEqual([
      'hd: {height: 720, crf: 3}',
      'sd: {height: 480, crf: 3}',
    ]);
    expect(spans('[l.hd]\nheight = 720\ncrf = 2\n[l.sd]\nheight = 480\ncrf = 3\n', 'a.toml')).toEqual([
      '[l.hd]\nheight = 720\ncrf = 2',
      '[l.sd]\nheight = 480\ncrf = 3',
    ]);
  });

  it.each([
    ['package.json', '{"scripts": {"a": "x"}, "dependencies": {"rate": "1"}}'],
    ['a.json', '{"layout": [{"width": 10, "height": 20}, {"width": 30, "height": 40}], "bitrate": 3}'],
    ['a.json', '{"rate": [{"name": "a", "rate": 3}, {"name": "b", "rate": 4}], "size": 1}'],
    ['a.json', '{"renditions": [{"height": 720, "bitrate": 3000}]}'],
    ['a.yaml', 'audio:\n  - {bitrate: 96k, height: 0}\n'],
    ['a.yaml', 'height: [\nbitrate'],
    ['a.toml', 'bitrate = \nheight = 3'],
    ['a.json', '{"v": [1, 2, {"height": 720, "crf": 20}, null, "x"]}'],
    ['a.json', ''],
  ])('leaves alone: %s %s', (file, text) => {
    expect(parseLadders(text, file)).toEqual({ value: [], problems: [] });
  });

  it('says which unit it assumes, and refuses a list that is too long', () => {
    const item = (bitrate: number) => `{"height": 720, "bitrate": ${bitrate}}`;
    expect(read(`[${item(5000)}, ${item(3000)}]`, 'a.json').problems).toMatchObject([
      { code: 'assumed', message: /kb\/s/ },
    ]);
    expect(read(`[${item(5e6)}, ${item(3e6)}]`, 'a.json').problems).toEqual([]);
    expect(
      read(
        `[${Array(mostRungs + 1)
          .fill(item(5e6))
          .join()}]`,
        'a.json',
      ),
    ).toMatchObject({
      value: [],
      problems: [{ code: 'too_large' }],
    });
  });
});

interface Generator {
  readonly schemas: readonly { readonly path: string; readonly name: string }[];
  readonly schemaText: (schema: Generator['schemas'][number]) => Promise<string>;
}

describe('the published schema', () => {
  it('is what the generator writes', async () => {
    const generator = new URL('../../../scripts/schema.mjs', import.meta.url).href;
    const { schemas, schemaText } = (await import(generator)) as Generator;
    const one = schemas.find(({ name }) => name === 'LadderSchema')!;
    expect(readFileSync(one.path, 'utf8')).toBe(await schemaText(one));
  });

  const schema = JSON.parse(
    readFileSync(new URL('../../../media/schema/ladder.schema.json', import.meta.url), 'utf8'),
  );
  const validate = new Ajv({ strict: true, allowUnionTypes: true }).compile(schema);

  it('accepts what the reader accepts, and refuses what it refuses', () => {
    expect(
      validate({
        rungs: [{ height: 720, crf: 23, preset: 6, args: ['-g', '50'] }],
        source: 'a.mp4',
        targetMos: 4,
      }),
    ).toBe(true);
    for (const bad of [
      {},
      { rungs: [] },
      { rungs: [{ crf: 99 }] },
      { rungs: [{ x: 1 }] },
      { rungs: [{ bitrate: 'fast' }] },
    ]) {
      expect(validate(bad)).toBe(false);
    }
  });

  it.each([
    ['a.ladder.yaml', true],
    ['dir/b.ladder.yml', true],
    ['c.LADDER.json', true],
    ['d.ladder.toml', true],
    ['ladder.yaml', false],
    ['a.yaml', false],
  ])('%s is ours: %s', (file, expected) => {
    expect(isLadderFile(file)).toBe(expected);
  });
});
