// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of shells
import { describe, expect, it } from 'vitest';
import { outputArguments } from '../../../src/comparison/arguments.ts';
import { findCommands } from '../../../src/comparison/commands.ts';
import { parseSettings } from '../../../src/comparison/settings.ts';
import { leftAlone, realCommands } from './real_commands.ts';

/** The words of the commands of a text. */
const argvs = (text: string, language = 'shellscript') =>
  findCommands(text, language).map(({ words }) => words.map((word) => word.text).join(' '));

/** The source of the commands of a text. */
const spans = (text: string, language = 'shellscript') =>
  findCommands(text, language).map(({ start, end }) => text.slice(start, end));

describe('commands of real scripts', () => {
  it('has 40 of them and 20 odd texts', () => {
    expect(realCommands.length).toBeGreaterThanOrEqual(40);
    expect(leftAlone.length).toBeGreaterThanOrEqual(20);
  });

  it.each(realCommands)('$from', ({ text, language, expected }) => {
    const found = findCommands(text, language);
    const outputs = found.map((command) => parseSettings(command).value.outputs);
    expect(outputs).toMatchObject(expected);
    for (const { start, end, words } of found) {
      expect(text.slice(start, end)).toBeTruthy();
      for (const word of words) expect([word.start >= 0, word.end <= text.length]).toEqual([true, true]);
    }
  });

  it.each(leftAlone)('leaves alone: $what', ({ text, language }) => {
    const outputs = findCommands(text, language).flatMap((command) => parseSettings(command).value.outputs);
    expect(outputs.filter((output) => outputArguments(output).value !== null)).toEqual([]);
  });
});

describe('where a command stands', () => {
  it('is its exact span, without what is around it', () => {
    expect(spans('cd x && time ffmpeg -i a.mp4 \\\n  -crf 20 b.mp4 2>/dev/null | cat # x')).toEqual([
      'ffmpeg -i a.mp4 \\\n  -crf 20 b.mp4',
    ]);
  });

  it('maps through YAML, Markdown, quotes and recipes', () => {
    expect(
      spans('a:\n  - run: |\n      true\n      ffmpeg -i a \\\n        -crf 2 b.mp4\n', 'x.yml'),
    ).toEqual(['ffmpeg -i a \\\n        -crf 2 b.mp4']);
    expect(spans('> ```sh\n> ffmpeg -i a \\\n>   b.mp4\n> ```\n', 'x.md')).toEqual([
      'ffmpeg -i a \\\n>   b.mp4',
    ]);
    expect(spans('{"scripts": {"a": "x && ffmpeg -i \\"a b\\" c.mp4; y"}}', 'package.json')).toEqual([
      'ffmpeg -i \\"a b\\" c.mp4',
    ]);
    expect(spans('X = 1\na: b\n\t@ffmpeg -i $< -crf $(X) $@ && true\n', 'Makefile')).toEqual([
      'ffmpeg -i $< -crf $(X) $@',
    ]);
    expect(spans('exec("sudo ffmpeg -i \\"a\\" b.mp4; ls -l")', 'x.js')).toEqual(['ffmpeg -i \\"a\\" b.mp4']);
  });

  it('words stand where they are written', () => {
    const text = "subprocess.run(['ffmpeg', '-i', src, '-crf', '23', 'o.mp4'])";
    const [command] = findCommands(text, 'a.py');
    expect(command!.words.map(({ start, end }) => text.slice(start, end))).toEqual([
      "'ffmpeg'",
      "'-i'",
      'src',
      "'-crf'",
      "'23'",
      "'o.mp4'",
    ]);
  });
});

describe('the shell', () => {
  it.each([
    ['A=20\nffmpeg -i a -crf $A b.mp4', ['ffmpeg -i a -crf 20 b.mp4']],
    ['ffmpeg -i a -crf ${A:-21} b.mp4', ['ffmpeg -i a -crf 21 b.mp4']],
    [': ${A:=22}\nffmpeg -i a -crf "$A" b.mp4', ['ffmpeg -i a -crf 22 b.mp4']],
    ['o="-c:v libx264 -crf 20"\nffmpeg -i a $o b.mp4', ['ffmpeg -i a -c:v libx264 -crf 20 b.mp4']],
    [
      'o=(-c:v libx264)\no+=(-crf 20)\nffmpeg -i a "${o[@]}" b.mp4',
      ['ffmpeg -i a -c:v libx264 -crf 20 b.mp4'],
    ],
    [
      'for c in 18 28; do ffmpeg -i a -crf $c $c.mp4; done',
      ['ffmpeg -i a -crf 18 18.mp4', 'ffmpeg -i a -crf 28 28.mp4'],
    ],
    [
      'for c in $(seq 20 5 30); do ffmpeg -i a -crf $c b.mp4; done',
      ['20', '25', '30'].map((c) => `ffmpeg -i a -crf ${c} b.mp4`),
    ],
    [
      'for ((c=20; c<30; c+=5)); do ffmpeg -i a -crf $c b.mp4; done',
      ['20', '25'].map((c) => `ffmpeg -i a -crf ${c} b.mp4`),
    ],
    [
      'for c in {20..24..2}; do ffmpeg -i a -crf $c b.mp4; done',
      ['20', '22', '24'].map((c) => `ffmpeg -i a -crf ${c} b.mp4`),
    ],
    [
      'b=1000\nffmpeg -i a -b:v ${b}k -bufsize $((b * 2))k b.mp4',
      ['ffmpeg -i a -b:v 1000k -bufsize 2000k b.mp4'],
    ],
    [
      'enc() {\n  ffmpeg -i "$1" -crf "$2" "${1%.*}_$2.mp4"\n}\nenc a.mov 20\nenc b.mov 30',
      ['ffmpeg -i a.mov -crf 20 a_20.mp4', 'ffmpeg -i b.mov -crf 30 b_30.mp4'],
    ],
    ['bash -c "ffmpeg -i a -crf 20 \\"b c.mp4\\""', ['ffmpeg -i a -crf 20 b c.mp4']],
    ['FF="ffmpeg -y -nostdin"\n$FF -i a -crf 20 b.mp4', ['ffmpeg -y -nostdin -i a -crf 20 b.mp4']],
    ['find . -name "*.mov" -exec ffmpeg -i {} -crf 20 {}.mp4 \\;', ['ffmpeg -i {} -crf 20 {}.mp4']],
    ['ls *.mov | xargs -I{} ffmpeg -i {} -crf 20 {}.mp4', ['ffmpeg -i {} -crf 20 {}.mp4']],
    ['parallel ffmpeg -i {} -crf 20 {.}.mp4 ::: *.mov', ['ffmpeg -i {} -crf 20 {.}.mp4']],
    ['if [ -z "$A" ]; then A=23; fi\nffmpeg -i a -crf $A b.mp4', ['ffmpeg -i a -crf 23 b.mp4']],
    ['case $1 in a) A=1;; b) A=2;; esac\nffmpeg -i a -crf $A b.mp4', ['ffmpeg -i a -crf ${A} b.mp4']],
    ['A=18; while true; do ffmpeg -i a -crf $A b.mp4; A=$((A + 1)); done', ['ffmpeg -i a -crf ${A} b.mp4']],
    ['d=$(ffmpeg -i a -crf 20 b.mp4 2>&1)', ['ffmpeg -i a -crf 20 b.mp4']],
    ['/opt/ffmpeg/bin/ffmpeg -i a b.mp4', ['/opt/ffmpeg/bin/ffmpeg -i a b.mp4']],
    ['"$FFMPEG_BIN" -i a b.mp4', ['${FFMPEG_BIN} -i a b.mp4']],
    ["ffmpeg -i a -vf 'scale=1280:-2, fps=25' b.mp4", ['ffmpeg -i a -vf scale=1280:-2, fps=25 b.mp4']],
    ['o="-c:v libx264 -crf $Q -an"\nffmpeg -i a $o b.mp4', ['ffmpeg -i a -c:v libx264 -crf ${Q} -an b.mp4']],
    ['f() { ffmpeg -i "$1" -crf 20 "$1.mp4"; f "$1/x"; }\nf a', ['ffmpeg -i a -crf 20 a.mp4']],
  ])('%s', (text, expected) => {
    expect(argvs(text)).toEqual(expected);
  });

  it('takes placeholders of documentation for holes', () => {
    const text = 'ffmpeg -i <input> -c:v libx264 -crf <value> "<out put>.mp4" </dev/null >log';
    const [command] = findCommands(text, 'sh');
    expect(command!.words.map((word) => word.text).join(' ')).toBe(
      'ffmpeg -i ${input} -c:v libx264 -crf ${value} ${out}.mp4',
    );
    expect(command!.words.map(({ start, end }) => text.slice(start, end))).toContain('<input>');
  });

  it('binds loop variables', () => {
    const found = findCommands('for c in 18 28; do ffmpeg -i a -crf $c $c.mp4; done', 'sh');
    expect(found.map(({ bindings }) => bindings)).toEqual([{ c: '18' }, { c: '28' }]);
    expect(new Set(found.map(({ start }) => start)).size).toBe(1);
  });

  it('keeps what it cannot know as holes', () => {
    const [command] = findCommands('ffmpeg -i "$1" $OPTS -crf "${Q}" "$2"', 'sh');
    expect(command!.words.map(({ holes, splits }) => [...holes, splits])).toEqual([
      [false],
      [false],
      ['1', false],
      ['OPTS', true],
      [false],
      ['Q', false],
      ['2', false],
    ]);
  });

  it('pairs two passes, also in loops', () => {
    const text =
      'for b in 1M 2M; do\nffmpeg -y -i a -b:v $b -pass 1 -f null -\nffmpeg -i a -b:v $b -pass 2 $b.mp4\ndone\nffmpeg -i z -pass 1 -f null -';
    const found = findCommands(text, 'sh');
    expect(found.map(({ pass }) => pass?.number)).toEqual([1, 1, 2, 2, 1]);
    expect(found.map(({ pass }) => pass?.other && text.slice(pass.other.start, pass.other.end))).toEqual([
      'ffmpeg -i a -b:v $b -pass 2 $b.mp4',
      'ffmpeg -i a -b:v $b -pass 2 $b.mp4',
      'ffmpeg -y -i a -b:v $b -pass 1 -f null -',
      'ffmpeg -y -i a -b:v $b -pass 1 -f null -',
      null,
    ]);
  });
});

describe('code', () => {
  it.each([
    [
      'a.py',
      "cmd = ['ffmpeg', '-i', 'a']\ncmd += ['-crf', '20']\ncmd.append('b.mp4')\nrun(cmd)",
      ['ffmpeg -i a -crf 20 b.mp4'],
    ],
    [
      'a.py',
      "cmd = ['ffmpeg', '-i', 'a']\nif x:\n    cmd += ['-crf', '20']\ncmd.append('b.mp4')",
      ['ffmpeg -i a ${sometimes} b.mp4'],
    ],
    ['a.py', 'os.system("ffmpeg -i %s -crf %d b.mp4" % (a, q))', ['ffmpeg -i ${value} -crf ${value} b.mp4']],
    ['a.py', 'q = 21\nos.system(f"ffmpeg -i \'{src}\' -crf {q} b.mp4")', ['ffmpeg -i ${src} -crf 21 b.mp4']],
    ['a.py', 'run("ffmpeg -i a "\n    "-crf 20 b.mp4", shell=True)', ['ffmpeg -i a -crf 20 b.mp4']],
    ['a.py', 'run(shlex.split("ffmpeg -i \'a b\' c.mp4"))', ['ffmpeg -i a b c.mp4']],
    [
      'a.py',
      "for q in range(20, 31, 10):\n    run(['ffmpeg', '-i', 'a', '-crf', str(q), 'b.mp4'])\nrun(['ffmpeg', '-i', q, 'c.mp4'])",
      ['ffmpeg -i a -crf 20 b.mp4', 'ffmpeg -i a -crf 30 b.mp4', 'ffmpeg -i ${q} c.mp4'],
    ],
    [
      'a.py',
      "await create_subprocess_exec('ffmpeg', '-i', a, *rest, 'b.mp4')",
      ['ffmpeg -i ${a} ${rest} b.mp4'],
    ],
    [
      'a.py',
      "q = '20'\n'a note'\nrun(['ffmpeg', '-i', 'a', '-crf', q, 'b.mp4'])",
      ['ffmpeg -i a -crf 20 b.mp4'],
    ],
    ['a.js', "execFile('ffmpeg', ['-i', 'a', ...extra, 'b.mp4'], done)", ['ffmpeg -i a ${extra} b.mp4']],
    ['a.js', 'exec(`ffmpeg -i ${a} -crf 20 "${b}.mp4"`)', ['ffmpeg -i ${a} -crf 20 ${b}.mp4']],
    [
      'a.js',
      "const q = '20';\nexec('ffmpeg -i ' + file + ' -crf ' + q + ' b.mp4')",
      ['ffmpeg -i ${file} -crf 20 b.mp4'],
    ],
    [
      'a.ts',
      "[20, 30].map((q) => run('ffmpeg', ['-i', 'a', '-crf', `${q}`, `${q}.mp4`]))",
      ['ffmpeg -i a -crf 20 20.mp4', 'ffmpeg -i a -crf 30 30.mp4'],
    ],
    ['a.ts', "spawn(this.ffmpegPath, ['-i', 'a', 'b.mp4'])", ['${ffmpegPath} -i a b.mp4']],
  ])('%s: %s', (language, text, expected) => {
    expect(argvs(text, language)).toEqual(expected);
  });
});

describe('text that is not what it seems', () => {
  const languages = [
    'sh',
    'Makefile',
    'Dockerfile',
    'a.yml',
    'a.json',
    'a.py',
    'a.ts',
    'a.md',
    'a.ps1',
    'a.bat',
  ];
  const pieces = [
    'ffmpeg ',
    '-i ',
    '"',
    "'",
    '`',
    '\\',
    '\n',
    '$',
    '${',
    '}',
    '$(',
    ')',
    '$((',
    '[',
    ']',
    '{',
    '&&',
    '|',
    ';',
    '<<EOF\n',
    '-crf 20 ',
    'out.mp4',
    '#',
    '%',
    '%%',
    '```\n',
    '> ',
    '  - run: |\n    ',
    '\t',
    ':',
    '=',
    '*',
    '&a',
    'for x in 1 2; do ',
    'done',
    'RUN ',
    'subprocess.run([',
    "'ffmpeg', ",
    'f"',
    '"""',
    '//',
    '/*',
    '\u0000',
    '\ud83d',
    'é',
    '{{',
    '}}',
    '...',
    '+',
    ',',
  ];

  it('never throws, whatever the text', () => {
    let state = 12345;
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state % below;
    };
    for (let round = 0; round < 600; round += 1) {
      const text = Array.from({ length: random(60) }, () => pieces[random(pieces.length)]).join('');
      for (const language of languages) {
        for (const command of findCommands(text, language)) {
          expect(command.end <= text.length && command.start >= 0).toBe(true);
          for (const output of parseSettings(command).value.outputs) outputArguments(output);
        }
      }
    }
  });

  it('cut anywhere, a real file does no harm', () => {
    for (const { text, language } of realCommands) {
      for (let cut = 0; cut < text.length; cut += 7) {
        for (const command of findCommands(text.slice(0, cut), language)) parseSettings(command);
      }
    }
  });

  it.each([
    ['nesting', 'sh', `ffmpeg -i ${'$('.repeat(20_000)}`],
    ['nesting', 'a.json', `{"scripts": ${'['.repeat(50_000)} "ffmpeg -i a b.mp4"`],
    ['brackets', 'a.js', `f('ffmpeg', ${'['.repeat(50_000)}`],
    [
      'rounds',
      'sh',
      `${'for i in {1..60}; do '.repeat(12)}ffmpeg -i a -crf $i b.mp4; ${'done; '.repeat(12)}`,
    ],
    ['growth', 'sh', `a=xxxxxxxxxx\n${'a=$a$a$a$a\n'.repeat(60)}ffmpeg -i $a -crf 20 b.mp4`],
    [
      'a variable of itself',
      'Makefile',
      'A = $(A) $(A) $(B)\nB = $(A)$(A)\nx:\n\tffmpeg -i $(A) $(B) b.mp4\n',
    ],
    ['recursion', 'sh', 'f() { f; f; ffmpeg -i a b.mp4; }\nf'],
    [
      'aliases',
      'a.yml',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
        .split('')
        .map((one, index) => `${one}: &${one} [${`*${'abcdefg'[index]},`.repeat(9)}]`)
        .join('\n')}\nrun: ffmpeg -i a b.mp4\n`,
    ],
    ['length', 'sh', `ffmpeg ${'-i a '.repeat(100_000)} b.mp4`],
    ['many', 'sh', 'ffmpeg -i a b.mp4\n'.repeat(5000)],
  ])('%s (%s) is bounded', (_, language, text) => {
    expect(findCommands(text, language).length).toBeLessThanOrEqual(500);
  });
});
