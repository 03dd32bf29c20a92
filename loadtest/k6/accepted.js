// One key again and again.

import { accepted, keys } from './lib.js';

export { options } from './lib.js';

export default () => accepted(keys[0]);
