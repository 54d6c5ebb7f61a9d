// Package wecom owns WeCom's formats and calls: opening and sealing the
// encrypted callback envelope, turning what was inside into a bot.Message, and
// asking WeCom's API to send, to look somebody up or to sign somebody in.
//
// It leaves to others what it means for Deskbell: storing and deduplicating
// (store), deciding what a message may do (commands), the words of a reply
// (templates) and the HTTP in which a callback arrives (callbacks).
//
// # The envelope
//
// App.Open fails closed, in this order: size, shape of the query, outer XML,
// signature, clock, base64, decryption, padding, length, receiver, inner XML,
// corporation and application. What fails is a *Refusal, and all but a body that
// is no envelope at all look alike from outside, so nobody can feel their way to
// a valid one. WeCom signs sha1(sort(token, timestamp, nonce, ciphertext)) with
// nothing between the parts: characters moved from one part to its neighbour, or
// appended after SHA-1's own padding, keep the signature valid. That is why the
// parts have fixed shapes, the clock window has two sides and the ciphertext has
// one spelling only; what still opens is the same plaintext, hence the same
// bot.Message.Key.
package wecom
