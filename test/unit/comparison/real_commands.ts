// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of shells
/**
 * Commands as people write them, and what they ask for. Each says where its pattern is from (a page of documentation,
 * a repository, or what is common practice); file names and values may be shortened. The expectation was written down
 * by hand from the documentation of ffmpeg's options, not taken from the parser.
 */
export interface RealCommand {
  readonly from: string;
  readonly language: string;
  readonly text: string;
  /** One list per command found, with the picture streams that it writes. */
  readonly expected: readonly (readonly Record<string, unknown>[])[];
}

const shell = (from: string, text: string, ...expected: RealCommand['expected']): RealCommand => ({
  from,
  language: 'shellscript',
  text,
  expected,
});

const wiki = 'trac.ffmpeg.org/wiki';
const manual = 'ffmpeg.org/ffmpeg.html';

export const realCommands: readonly RealCommand[] = [
  shell(
    `${wiki}/Encode/H.264 (constant rate factor)`,
    'ffmpeg -i input -c:v libx264 -preset slow -crf 22 -c:a copy output.mkv',
    [
      {
        file: 'output.mkv',
        muxer: 'mkv',
        video: { codec: 'libx264', codecStated: true, preset: 'slow', crf: 22, bitrate: null },
      },
    ],
  ),
  shell(
    `${wiki}/Encode/H.264 (two-pass)`,
    'ffmpeg -y -i input -c:v libx264 -b:v 2600k -pass 1 -an -f null /dev/null && \\\nffmpeg -i input -c:v libx264 -b:v 2600k -pass 2 -c:a aac -b:a 128k output.mp4',
    [{ file: '/dev/null', muxer: 'null', video: { codec: 'libx264', bitrate: 2_600_000, pass: 1 } }],
    [{ file: 'output.mp4', video: { codec: 'libx264', bitrate: 2_600_000, pass: 2, crf: null } }],
  ),
  shell(
    `${wiki}/Encode/H.264 (lossless)`,
    'ffmpeg -i input -c:v libx264 -preset ultrafast -qp 0 output.mkv',
    [{ video: { codec: 'libx264', preset: 'ultrafast', qp: 0, crf: null } }],
  ),
  shell(
    `${wiki}/Encode/H.264 (overwriting preset settings)`,
    'ffmpeg -i input -c:v libx264 -preset slow -crf 22 -x264-params keyint=123:min-keyint=20 -c:a copy output.mkv',
    [{ video: { crf: 22, params: 'keyint=123:min-keyint=20', gop: 123, keyintMin: 20 } }],
  ),
  shell(
    `${wiki}/Encode/H.264 (constrained encoding)`,
    'ffmpeg -i input -c:v libx264 -crf 23 -maxrate 1M -bufsize 2M output.mp4',
    [{ video: { crf: 23, maxrate: 1_000_000, bufsize: 2_000_000 } }],
  ),
  shell(
    `${wiki}/Encode/H.264 (device compatibility)`,
    'ffmpeg -i input.mov -vcodec libx264 -profile:v baseline -level 3.0 -pix_fmt yuv420p -acodec copy -movflags +faststart out.mp4',
    [{ video: { codec: 'libx264', profile: 'baseline', level: '3.0', pixelFormat: 'yuv420p' }, other: [] }],
  ),
  shell(
    `${wiki}/Encode/H.265 (constant rate factor)`,
    'ffmpeg -i input -c:v libx265 -crf 26 -preset fast -c:a aac -b:a 128k output.mp4',
    [{ video: { codec: 'libx265', crf: 26, preset: 'fast', bitrate: null } }],
  ),
  shell(
    `${wiki}/Encode/H.265 (two-pass)`,
    'ffmpeg -y -i input -c:v libx265 -b:v 2600k -x265-params pass=1 -an -f null /dev/null && \\\nffmpeg -i input -c:v libx265 -b:v 2600k -x265-params pass=2 -c:a aac -b:a 128k output.mp4',
    [{ video: { codec: 'libx265', bitrate: 2_600_000, pass: 1 } }],
    [{ video: { codec: 'libx265', bitrate: 2_600_000, pass: 2 } }],
  ),
  shell(
    `${wiki}/Encode/H.265 (VBV)`,
    'ffmpeg -i input -c:v libx265 -x265-params crf=28:vbv-maxrate=3000:vbv-bufsize=6000 -tag:v hvc1 o.mp4',
    [{ video: { codec: 'libx265', crf: 28, maxrate: 3_000_000, bufsize: 6_000_000 } }],
  ),
  shell(
    `${wiki}/Encode/VP9 (constant quality)`,
    'ffmpeg -i input.mp4 -c:v libvpx-vp9 -crf 30 -b:v 0 output.webm',
    [{ muxer: 'webm', video: { codec: 'libvpx-vp9', crf: 30, bitrate: 0 } }],
  ),
  shell(
    `${wiki}/Encode/VP9 (two-pass)`,
    'ffmpeg -i input.mp4 -c:v libvpx-vp9 -b:v 2M -pass 1 -an -f null /dev/null && \\\nffmpeg -i input.mp4 -c:v libvpx-vp9 -b:v 2M -pass 2 -c:a libopus output.webm',
    [{ video: { bitrate: 2_000_000, pass: 1 } }],
    [{ video: { codec: 'libvpx-vp9', bitrate: 2_000_000, pass: 2 } }],
  ),
  shell(
    'developers.google.com/media/vp9/settings/vod (two passes, CQ)',
    'ffmpeg -i tears_of_steel_1080p.webm -vf scale=1280x720 -b:v 1024k \\\n  -minrate 512k -maxrate 1485k -tile-columns 2 -g 240 -threads 8 \\\n  -quality good -crf 32 -c:v libvpx-vp9 -c:a libopus \\\n  -pass 2 -speed 4 -y tears_of_steel_1280x720.webm',
    [
      {
        video: {
          codec: 'libvpx-vp9',
          crf: 32,
          bitrate: 1_024_000,
          minrate: 512_000,
          maxrate: 1_485_000,
          gop: 240,
          size: { width: 1280, height: 720 },
          pass: 2,
        },
        other: [],
      },
    ],
  ),
  shell(
    `${wiki}/Encode/AV1 (libaom)`,
    'ffmpeg -i input.mp4 -c:v libaom-av1 -crf 30 -cpu-used 4 -row-mt 1 -tiles 2x2 av1_test.mkv',
    [{ video: { codec: 'libaom-av1', crf: 30, preset: '4' } }],
  ),
  shell(
    `${wiki}/Encode/AV1 (SVT-AV1)`,
    'ffmpeg -i infile.mkv -c:v libsvtav1 -preset 5 -crf 32 -g 240 -pix_fmt yuv420p10le -svtav1-params tune=0:film-grain=8 -c:a copy outfile.mkv',
    [
      {
        video: {
          codec: 'libsvtav1',
          preset: '5',
          crf: 32,
          gop: 240,
          pixelFormat: 'yuv420p10le',
          params: 'tune=0:film-grain=8',
          tune: '0',
        },
      },
    ],
  ),
  shell(
    `${wiki}/Encode/AV1 (rav1e)`,
    'ffmpeg -i input.mp4 -c:v librav1e -qp 80 -speed 4 -tile-columns 2 -tile-rows 2 av1.mp4',
    [{ video: { codec: 'librav1e', qp: 80, preset: '4' } }],
  ),
  shell(
    `${wiki}/Encode/MPEG-4`,
    'ffmpeg -i input.avi -c:v mpeg4 -vtag xvid -qscale:v 3 -c:a libmp3lame -qscale:a 4 output.avi',
    [{ video: { codec: 'mpeg4', qscale: 3 } }],
  ),
  shell(`${wiki}/Scaling`, 'ffmpeg -i input.avi -vf scale=320:240 output.avi', [
    {
      muxer: 'avi',
      video: {
        codec: 'mpeg4',
        codecStated: false,
        size: { width: 320, height: 240 },
        filters: 'scale=320:240',
      },
    },
  ]),
  shell(
    `${wiki}/Scaling (keep the aspect ratio)`,
    'ffmpeg -i input.mp4 -vf "scale=-2:720:flags=lanczos" -c:v libx264 -crf 18 out.mp4',
    [{ video: { size: { width: null, height: 720 }, crf: 18 } }],
  ),
  shell(`${wiki}/ChangingFrameRate`, 'ffmpeg -i input.mp4 -filter:v fps=30 -c:v libx264 output.mp4', [
    { video: { fps: 30, filters: 'fps=30' } },
  ]),
  shell(
    `${wiki}/EncodingForStreamingSites`,
    'ffmpeg -re -i input.mkv -c:v libx264 -preset veryfast -b:v 3000k -maxrate 3000k -bufsize 6000k -pix_fmt yuv420p -g 50 -c:a aac -b:a 160k -ac 2 -ar 44100 -f flv rtmp://live.twitch.tv/app/stream_key',
    [
      {
        muxer: 'flv',
        video: {
          preset: 'veryfast',
          bitrate: 3_000_000,
          maxrate: 3_000_000,
          bufsize: 6_000_000,
          gop: 50,
          pixelFormat: 'yuv420p',
        },
        other: [],
      },
    ],
  ),
  shell(
    `${wiki}/Creating multiple outputs`,
    'ffmpeg -i input -s 1280x720 -acodec copy -c:v libx264 -b:v 1M out1.mp4 -s 640x480 -acodec copy -vcodec mpeg4 -b:v 500k out2.mkv',
    [
      {
        file: 'out1.mp4',
        video: { codec: 'libx264', size: { width: 1280, height: 720 }, bitrate: 1_000_000 },
      },
      { file: 'out2.mkv', video: { codec: 'mpeg4', size: { width: 640, height: 480 }, bitrate: 500_000 } },
    ],
  ),
  shell(
    `${wiki}/Creating multiple outputs (one complex filter)`,
    "ffmpeg -i input -filter_complex '[0:v]yadif,split=3[out1][out2][out3]' \\\n  -map '[out1]' -s 1280x720 -map 0:a -crf 20 o1.mp4 \\\n  -map '[out2]' -s 640x360 o2.mkv -map '[out3]' -c:v libx265 o3.mkv",
    [
      {
        file: 'o1.mp4',
        stream: 0,
        video: { codec: 'libx264', crf: 20, size: { width: 1280, height: 720 }, graph: { label: 'out1' } },
      },
      { file: 'o2.mkv', video: { size: { width: 640, height: 360 }, graph: { label: 'out2' } } },
      { file: 'o3.mkv', video: { codec: 'libx265', size: null, graph: { label: 'out3' } } },
    ],
  ),
  shell(
    `${manual} (stream copy)`,
    'ffmpeg -i INPUT -map 0 -c copy -c:v:1 libx264 -c:a:137 libvorbis OUTPUT.mkv',
    [
      { stream: 0, video: { codec: 'copy' } },
      { stream: 1, video: { codec: 'libx264' } },
    ],
  ),
  shell(`${manual} (bitrate of the picture)`, 'ffmpeg -i input.avi -b:v 64k -bufsize 64k output.avi', [
    { video: { codec: 'mpeg4', bitrate: 64_000, bufsize: 64_000 } },
  ]),
  shell(
    `${manual} (raw frames of the grabber)`,
    'ffmpeg -f x11grab -video_size cif -framerate 25 -i :0.0 /tmp/out.mpg',
    [{ file: '/tmp/out.mpg', muxer: 'mpg', video: { codec: 'mpeg2video', codecStated: false } }],
  ),
  shell(
    'ffmpeg.org/ffmpeg-formats.html (hls, several variants)',
    'ffmpeg -re -i in.ts -b:v:0 1000k -b:v:1 256k -b:a:0 64k -b:a:1 32k \\\n  -map 0:v -map 0:a -map 0:v -map 0:a -f hls -var_stream_map "v:0,a:0 v:1,a:1" \\\n  http://example.com/live/out_%v.m3u8',
    [
      { stream: 0, muxer: 'hls', video: { codec: 'libx264', bitrate: 1_000_000 } },
      { stream: 1, video: { bitrate: 256_000 } },
    ],
  ),
  shell(
    'ffmpeg.org/ffmpeg-formats.html (dash)',
    'ffmpeg -re -i input -map 0 -map 0 -c:a libfdk_aac -c:v libx264 \\\n  -b:v:0 800k -b:v:1 300k -s:v:1 320x170 -profile:v:1 baseline \\\n  -profile:v:0 main -bf 1 -keyint_min 120 -g 120 -sc_threshold 0 \\\n  -b_strategy 0 -ar:a:1 22050 -use_timeline 1 -use_template 1 \\\n  -window_size 5 -adaptation_sets "id=0,streams=v id=1,streams=a" -f dash /path/to/out.mpd',
    [
      {
        stream: 0,
        video: { bitrate: 800_000, profile: 'main', gop: 120, keyintMin: 120, bframes: 1, size: null },
      },
      {
        stream: 1,
        video: { bitrate: 300_000, profile: 'baseline', size: { width: 320, height: 170 } },
        other: [],
      },
    ],
  ),
  shell(
    'mpegflow.com/recipes/abr-ladder-generation',
    'ffmpeg -i master.mp4 -c:v libx264 -preset medium -profile:v high -level 4.0 \\\n  -x264opts keyint=48:min-keyint=48:no-scenecut -map 0:v -map 0:v \\\n  -filter:v:0 scale=1920:1080 -b:v:0 4500k -maxrate:v:0 5500k \\\n  -filter:v:1 scale=1280:720 -b:v:1 2800k -maxrate:v:1 3500k -f hls out_%v.m3u8',
    [
      {
        video: {
          size: { width: 1920, height: 1080 },
          bitrate: 4_500_000,
          maxrate: 5_500_000,
          gop: 48,
          keyintMin: 48,
          level: '4.0',
        },
      },
      { video: { size: { width: 1280, height: 720 }, bitrate: 2_800_000, maxrate: 3_500_000, gop: 48 } },
    ],
  ),
  shell(
    'docs.nvidia.com/video-technologies (FFmpeg with NVIDIA GPU)',
    'ffmpeg -y -vsync 0 -hwaccel cuda -hwaccel_output_format cuda -i input.mp4 -c:a copy -c:v h264_nvenc -preset p6 -tune hq -b:v 5M -bufsize 5M -maxrate 10M -qmin 0 -g 250 -bf 3 -b_ref_mode middle -temporal-aq 1 -rc-lookahead 20 -i_qfactor 0.75 -b_qfactor 1.1 output.mp4',
    [
      {
        video: {
          codec: 'h264_nvenc',
          preset: 'p6',
          tune: 'hq',
          bitrate: 5_000_000,
          bufsize: 5_000_000,
          maxrate: 10_000_000,
          gop: 250,
          bframes: 3,
        },
        other: [],
      },
    ],
  ),
  shell(
    `${wiki}/Hardware/VAAPI`,
    "ffmpeg -vaapi_device /dev/dri/renderD128 -i input.mp4 -vf 'format=nv12,hwupload' -c:v hevc_vaapi -rc_mode CQP -qp 24 output.mp4",
    [{ video: { codec: 'hevc_vaapi', qp: 24, filters: 'format=nv12,hwupload' } }],
  ),
  shell(
    `${wiki}/Hardware/QuickSync`,
    'ffmpeg -init_hw_device qsv=hw -filter_hw_device hw -i input.mp4 -c:v h264_qsv -preset veryslow -global_quality 25 -look_ahead 1 output.mp4',
    [{ video: { codec: 'h264_qsv', cq: 25, preset: 'veryslow' } }],
  ),
  shell(
    'common practice with VideoToolbox',
    'ffmpeg -i in.mov -c:v hevc_videotoolbox -q:v 55 -tag:v hvc1 -c:a copy out.mov',
    [{ video: { codec: 'hevc_videotoolbox', qscale: 55 } }],
  ),
  shell(
    'handbrake.fr/docs, command line reference',
    'HandBrakeCLI -i source.mkv -o out.mp4 -e x265_10bit -q 24 --encoder-preset slow --encoder-tune grain -Y 1080 -r 25 -x aq-mode=3',
    [
      {
        file: 'out.mp4',
        video: {
          codec: 'libx265',
          crf: 24,
          preset: 'slow',
          tune: 'grain',
          size: { width: null, height: 1080 },
          fps: 25,
          pixelFormat: 'yuv420p10le',
          params: 'aq-mode=3',
        },
      },
    ],
  ),
  shell(
    'gitlab.com/AOMediaCodec/SVT-AV1, Docs/Ffmpeg.md and Parameters.md',
    'ffmpeg -i infile.mkv -pix_fmt yuv420p10le -f yuv4mpegpipe -strict -1 - | SvtAv1EncApp -i stdin --preset 8 --crf 35 --keyint 240 --tune 0 --film-grain 10 -b outfile.ivf',
    [{ file: '-', muxer: 'yuv4mpegpipe', video: { codec: 'rawvideo', pixelFormat: 'yuv420p10le' } }],
    [
      {
        file: 'outfile.ivf',
        video: { codec: 'libsvtav1', preset: '8', crf: 35, gop: 240, params: 'tune=0:film-grain=10' },
      },
    ],
  ),
  shell(
    'github.com/rodrigopolo/ffmpeg-scripts, Bash/1080p.sh',
    'for f in "$@"; do\n  ffmpeg -y -hide_banner -hwaccel auto -i "$f" -pix_fmt yuv420p -vf scale=1920:-2 \\\n    -c:v libx264 -preset faster -crf 22 -c:a aac -b:a 128k -movflags +faststart "${f%.*}.1080p.mp4"\ndone',
    [
      {
        file: '${f}.1080p.mp4',
        video: {
          codec: 'libx264',
          crf: 22,
          preset: 'faster',
          pixelFormat: 'yuv420p',
          size: { width: 1920, height: null },
        },
        other: [],
      },
    ],
  ),
  {
    from: 'github.com/jrottenberg/ffmpeg, README',
    language: 'build.sh',
    text: 'docker run -v $(pwd):$(pwd) -w $(pwd) \\\n  jrottenberg/ffmpeg:4.4-alpine -stats \\\n  -i http://archive.org/in.mp4 -c:v libx264 -preset fast -b:v 1.5M -vf "scale=hd720" out.mp4\n',
    expected: [
      [
        {
          file: 'out.mp4',
          video: { preset: 'fast', bitrate: 1_500_000, size: { width: 1280, height: 720 } },
        },
      ],
    ],
  },
  {
    from: 'GitHub Actions, a job that checks an encode',
    language: '.github/workflows/encode.yml',
    text: [
      'on: push',
      'jobs:',
      '  encode:',
      '    runs-on: ubuntu-latest',
      '    strategy:',
      '      matrix:',
      '        crf: [24, 32]',
      '    steps:',
      '      - run: sudo apt-get install -y ffmpeg',
      '      - name: Encode',
      '        run: |',
      '          ffmpeg -y -i clip.y4m \\',
      '            -c:v libsvtav1 -preset 8 -crf ${{ matrix.crf }} out_${{ matrix.crf }}.mkv',
      '',
    ].join('\n'),
    expected: [
      [{ file: 'out_24.mkv', video: { codec: 'libsvtav1', preset: '8', crf: 24 } }],
      [{ file: 'out_32.mkv', video: { crf: 32 } }],
    ],
  },
  {
    from: 'a Makefile of a documentation project',
    language: 'Makefile',
    text: 'CRF ?= 28\n%.webm: %.mov\n\tffmpeg -i $< -c:v libvpx-vp9 -crf $(CRF) -b:v 0 \\\n\t\t-deadline best $@\n',
    expected: [[{ file: '${TARGET}', video: { codec: 'libvpx-vp9', crf: 28, bitrate: 0 } }]],
  },
  {
    from: 'docs.python.org/3/library/subprocess.html, run with a list, as encode scripts use it',
    language: 'encode.py',
    text: "import subprocess\n\nfor crf in (18, 23):\n    subprocess.run(['ffmpeg', '-y', '-i', 'in.mp4', '-c:v', 'libx264', '-crf', str(crf), '-vf', 'scale=-2:480', f'out_{crf}.mp4'], check=True)\n",
    expected: [
      [{ file: 'out_18.mp4', video: { crf: 18, size: { width: null, height: 480 } } }],
      [{ file: 'out_23.mp4', video: { crf: 23 } }],
    ],
  },
  {
    from: 'nodejs.org/api/child_process.html, spawn, as media servers use it',
    language: 'transcode.ts',
    text: "const args = [\n  '-i', input,\n  '-c:v', 'libx264', '-preset', 'veryfast', '-b:v', `${2500}k`,\n  '-g', '48', '-sc_threshold', '0',\n];\nargs.push('-f', 'hls', output);\nconst child = spawn('ffmpeg', args, { stdio: 'pipe' });\n",
    expected: [[{ file: '${output}', muxer: 'hls', video: { preset: 'veryfast', gop: 48 } }]],
  },
  {
    from: 'a package.json script (web.dev, "Replace GIFs with video")',
    language: 'package.json',
    text: '{\n  "scripts": {\n    "video": "ffmpeg -i my-animation.gif -b:v 0 -crf 25 -f mp4 -vcodec libx264 -pix_fmt yuv420p my-animation.mp4"\n  }\n}\n',
    expected: [
      [
        {
          file: 'my-animation.mp4',
          muxer: 'mp4',
          video: { codec: 'libx264', crf: 25, bitrate: 0, pixelFormat: 'yuv420p' },
        },
      ],
    ],
  },
  {
    from: 'a Dockerfile that bakes a sample in',
    language: 'Dockerfile',
    text: 'FROM alpine:3\nARG BITRATE=800k\nRUN apk add --no-cache ffmpeg \\\n  && ffmpeg -f lavfi -i testsrc=size=640x360:rate=25 -t 10 \\\n     -c:v libx264 -b:v $BITRATE -tune animation /sample.mp4\n',
    expected: [[{ file: '/sample.mp4', video: { bitrate: 800_000, tune: 'animation' } }]],
  },
  {
    from: 'a README with a session and a PowerShell block',
    language: 'README.md',
    text: '# Encode\n\n```console\n$ ffmpeg -i in.mkv -c:v libx265 -crf 24 \\\n    -preset slow out.mkv\nframe= 100 fps=25\n```\n\n```powershell\n$q = 30\nffmpeg -i "in file.mkv" `\n  -c:v libsvtav1 -crf $q out.mkv\n```\n',
    expected: [
      [{ file: 'out.mkv', video: { codec: 'libx265', crf: 24, preset: 'slow' } }],
      [{ file: 'out.mkv', video: { codec: 'libsvtav1', crf: 30 } }],
    ],
  },
  {
    from: 'pastebin.com/EdhygnpV (a batch file of two passes)',
    language: 'webm.bat',
    text: '@ECHO OFF\nSET bitrate=1M\nSET scale=960\nffmpeg -i "%~1" -vf scale=-1:%scale% -sn -c:v vp9 -b:v %bitrate% -an -speed 4 -pass 1 -f null -y NUL\nffmpeg -i "%~1" -vf scale=-1:%scale% -sn -c:v vp9 -b:v %bitrate% ^\n  -c:a libopus -speed 1 -pass 2 -f webm -y "%~n1_VP9.webm"\n',
    expected: [
      [{ file: 'NUL', muxer: 'null', video: { codec: 'libvpx-vp9', bitrate: 1_000_000, pass: 1 } }],
      [
        {
          muxer: 'webm',
          video: {
            codec: 'libvpx-vp9',
            size: { width: null, height: 960 },
            bitrate: 1_000_000,
            pass: 2,
            preset: '1',
          },
        },
      ],
    ],
  },
];

/** Texts that hold no encode to show, or only what must be left alone. */
export const leftAlone: readonly {
  readonly what: string;
  readonly language: string;
  readonly text: string;
}[] = [
  {
    what: 'installing it',
    language: 'shellscript',
    text: 'sudo apt-get install -y ffmpeg libx264-dev\nbrew install ffmpeg',
  },
  {
    what: 'asking where it is',
    language: 'shellscript',
    text: 'which ffmpeg || command -v ffmpeg || type ffmpeg',
  },
  {
    what: 'its version',
    language: 'shellscript',
    text: 'ffmpeg -version | head -1\nffmpeg -hide_banner -encoders',
  },
  {
    what: 'a comment',
    language: 'shellscript',
    text: '# ffmpeg -i a.mp4 -crf 20 b.mp4\n: # ffmpeg -i a b.mp4',
  },
  {
    what: 'an echo',
    language: 'shellscript',
    text: 'echo "usage: ffmpeg -i in.mp4 -crf 20 out.mp4"\nprintf "%s" ffmpeg',
  },
  {
    what: 'a here-document',
    language: 'shellscript',
    text: 'cat <<EOF\nffmpeg -i a.mp4 -crf 20 b.mp4\nEOF\n',
  },
  {
    what: 'building it',
    language: 'shellscript',
    text: 'git clone https://git.ffmpeg.org/ffmpeg.git ffmpeg && cd ffmpeg && ./configure --enable-gpl',
  },
  {
    what: 'ffprobe and ffplay',
    language: 'shellscript',
    text: 'ffprobe -v error -show_streams a.mp4\nffplay -i a.mp4',
  },
  {
    what: 'sound only',
    language: 'shellscript',
    text: 'ffmpeg -i in.mp4 -vn -c:a libmp3lame -q:a 2 out.mp3\nffmpeg -i a.wav b.flac',
  },
  { what: 'a remux', language: 'shellscript', text: 'ffmpeg -i in.mkv -c copy out.mp4' },
  { what: 'looking at a file', language: 'shellscript', text: 'ffmpeg -i in.mkv 2>&1 | grep Duration' },
  {
    what: 'an unfinished quote',
    language: 'shellscript',
    text: 'ffmpeg -i "in.mp4 -crf 20 out.mp4\nif [ ; then',
  },
  {
    what: 'a docstring',
    language: 'a.py',
    text: '"""Runs ffmpeg -i in.mp4 -crf 20 out.mp4 for you."""\nimport os\n',
  },
  {
    what: 'a message',
    language: 'a.py',
    text: 'raise RuntimeError("ffmpeg failed, is it installed?")\nprint(shutil.which("ffmpeg"))\n',
  },
  {
    what: 'a comment in code',
    language: 'a.js',
    text: "// spawn('ffmpeg', ['-i', 'a', 'b.mp4'])\n/* exec('ffmpeg -i a b.mp4') */\nconst x = /ffmpeg -i/;\n",
  },
  {
    what: 'an import',
    language: 'a.ts',
    text: "import ffmpeg from 'fluent-ffmpeg';\nffmpeg('in.mp4').videoCodec('libx264').save('out.mp4');\n",
  },
  {
    what: 'a dependency',
    language: 'package.json',
    text: '{ "dependencies": { "fluent-ffmpeg": "^2.1.3" }, "description": "ffmpeg -i a b.mp4" }',
  },
  {
    what: 'an action',
    language: 'ci.yml',
    text: 'steps:\n  - name: ffmpeg -i a b.mp4\n    uses: FedericoCarboni/setup-ffmpeg@v3\n    with: { ffmpeg-version: release }\n',
  },
  {
    what: 'prose in Markdown',
    language: 'a.md',
    text: 'Run ffmpeg -i a.mp4 -crf 20 b.mp4, or `ffmpeg -i a b.mp4`.\n\n```c\nffmpeg -i a -crf 2 b.mp4\n```\n',
  },
  {
    what: 'a Makefile without recipes',
    language: 'Makefile',
    text: 'FFMPEG = ffmpeg -i x y.mp4\n# \tffmpeg -i a -crf 2 b.mp4\n.PHONY: ffmpeg\n',
  },
  {
    what: 'a Dockerfile that installs',
    language: 'Dockerfile',
    text: 'FROM jrottenberg/ffmpeg:4.4\nRUN apt-get update && apt-get install -y ffmpeg\nENTRYPOINT ["ffmpeg"]\n',
  },
  { what: 'a still', language: 'shellscript', text: 'ffmpeg -ss 5 -i in.mp4 -frames:v 1 still.png' },
  { what: 'a binary', language: 'shellscript', text: '\u0000\u0001ffmpeg\u0000 -i\uffff\ud800' },
];
