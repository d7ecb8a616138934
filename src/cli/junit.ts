import { printable } from '../assessment/text.ts';

/** One row of a JUnit report. */
export interface TestCase {
  /** Untrusted text. */
  readonly name: string;
  /** What it took; null where it was not measured. */
  readonly seconds: number | null;
  /** What was asked and missed, a sentence each. Untrusted text. */
  readonly failures: readonly string[];
  /** Why it could not be judged at all. Untrusted text. */
  readonly error: string | null;
}

/** A report in JUnit's XML, as Jenkins, GitLab and the test actions of GitHub read it. */
export function junitReport(suite: string, cases: readonly TestCase[]): string {
  const count = (isOne: (one: TestCase) => boolean) => cases.filter(isOne).length;
  const name = quoted(suite);
  const totals = `tests="${cases.length}" failures="${count((one) => !one.error && one.failures.length > 0)}" errors="${count((one) => one.error !== null)}"`;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${totals}>`,
    `  <testsuite name=${name} ${totals}>`,
    ...cases.map((one) => testCase(one, name)),
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

function testCase({ name, seconds, failures, error }: TestCase, suite: string): string {
  const time = seconds === null ? '' : ` time="${seconds.toFixed(3)}"`;
  const head = `    <testcase classname=${suite} name=${quoted(name)}${time}`;
  if (error !== null) return `${head}><error message=${quoted(error)}/></testcase>`;
  if (failures.length === 0) return `${head}/>`;
  return `${head}><failure message=${quoted(failures.join(' '))}/></testcase>`;
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** A value of an attribute, without the control characters and lone surrogates that XML does not allow. */
function quoted(text: string): string {
  const allowed = printable(text).replaceAll(/[\p{Cs}\uFFFE\uFFFF]/gu, '\uFFFD');
  return `"${allowed.replaceAll(/[&<>"]/g, (one) => entities[one]!)}"`;
}
