package shell

import (
	"os/exec"
	"testing"
)

// A shell reads the word as it is.
func TestWord(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("a shell is needed")
	}
	for _, word := range []string{"", "plain-word_1.2,3:/@%+=", "it's", `"$HOME" \ ; *`, "two\nlines", "-x", "~", "ü"} {
		got, err := exec.Command(sh, "-c", "printf %s "+Word(word)).Output()
		if err != nil || string(got) != word {
			t.Errorf("%q is read as %q, %v", word, got, err)
		}
	}
	if got := Word("plain-word"); got != "plain-word" {
		t.Errorf("a plain word is quoted: %s", got)
	}
}

// A hint names its target once, whatever names it has.
func TestOnTarget(t *testing.T) {
	for hint, want := range map[string]string{
		"": "",
		"if the worker is dead: gwadmin workers unlock 'gwadmin worker'": "if the worker is dead: gwadmin --target eu workers unlock 'gwadmin worker'",
	} {
		if got := OnTarget(hint, "eu"); got != want {
			t.Errorf("%q is %q", hint, got)
		}
	}
}
