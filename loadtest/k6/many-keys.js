// Every key in turn.

import { accepted, keys, number } from './lib.js';

export { options } from './lib.js';

export default () => accepted(keys[number() % keys.length]);
