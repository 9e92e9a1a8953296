export * from './index.cjs';
import * as nsagent from './index.cjs';
export default nsagent;
