package bot

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestFileName(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "报价单 2026.xlsx", "报价单 2026.xlsx"},
		{"folders", "../../etc/passwd", "passwd"},
		{"folders of Windows", `C:\Users\x\..\a.txt`, "a.txt"},
		{"nothing but a folder", "../", ""},
		{"a hidden file", ".htaccess", "htaccess"},
		{"dots only", "...", ""},
		{"header lines", "a.png\r\nContent-Type: text/html\r\n\r\n<script>", "html_script_"},
		{"zero byte", "a.png\x00.exe", "a.png.exe"},
		{"written backwards", "invoice\u202efdp.exe", "invoicefdp.exe"},
		{"every bidi mark", "a\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069.b", "a.b"},
		{"invisible", "a\u200b\u2060\ufeff\U000e0041.b", "a.b"},
		{"odd spaces", "\u3000a\u00a0\u2028b.c ", "a  b.c"},
		{"another encoding", "\xb1\xa8\xbc\xdb.xlsx", "xlsx"},
		{"quotes and stars", `a"b*c?d<e>f|g:h.i`, "a_b_c_d_e_f_g_h.i"},
		{"long", strings.Repeat("长", 100) + ".tar.gz", strings.Repeat("长", 39) + ".gz"},
		{"long without an extension", strings.Repeat("x", 500), strings.Repeat("x", 120)},
		{"long with a long end", "a." + strings.Repeat("x", 500), "a." + strings.Repeat("x", 118)},
		{"long and spaced", strings.Repeat("x", 115) + " " + strings.Repeat("y", 50) + ".pdf", strings.Repeat("x", 115) + ".pdf"},
	}
	for _, tt := range tests {
		if got := FileName(tt.in); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzFileName(f *testing.F) {
	for _, s := range []string{"a.png", "../../x", "a\u202eb.exe", "a\r\nb", strings.Repeat("长", 100) + ".gz", ". .", "\xff\xfe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := FileName(in)
		if len(got) > maxFileName || !utf8.ValidString(got) || strings.ContainsAny(got, "/\\<>:\"|?*\r\n\x00") {
			t.Errorf("%q became %q", in, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) || unicode.Is(unicode.Cf, r) {
				t.Errorf("%q became %q, with %U", in, got, r)
			}
		}
		if strings.Trim(got, ". ") != got {
			t.Errorf("%q became %q", in, got)
		}
		if again := FileName(got); again != got {
			t.Errorf("%q became %q, and that %q", in, got, again)
		}
	})
}
