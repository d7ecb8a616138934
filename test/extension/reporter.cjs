/** Mocha's `spec`, which also writes the counts to the file that OMNIVQA_HOST_REPORT names. */
const { writeFileSync } = require('node:fs');
const { reporters } = require('mocha');

module.exports = class extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const file = process.env.OMNIVQA_HOST_REPORT;
    if (file) runner.once('end', () => writeFileSync(file, JSON.stringify(this.stats)));
  }
};
