// Package uitest has the tests of the admin page in a real browser: Debian's Chromium, driven
// by chromedp. It is a module of its own, so that users of gwadmin do not inherit chromedp.
package uitest
