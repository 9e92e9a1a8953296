// Package totp makes and checks the six digits that an authenticator app on a phone shows,
// TOTP of RFC 6238: HMAC-SHA1, a step of 30 seconds, six digits. That is the one form that
// every app knows.
//
// The secret and the code that was typed stay in the arena. Check takes the code of the
// current step and of the one before and after it, and none of a step that was used: which
// one that was, the caller keeps, and makes durable before the code counts. How many wrong
// codes may be tried, the caller limits.
//
// SHA-1 is no weakness here: HMAC does not rest on collisions (RFC 6238 section 1.2; RFC
// 6194 section 3.3).
package totp
