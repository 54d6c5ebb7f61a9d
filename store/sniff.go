package store

import (
	"bytes"
	"slices"
)

// plainType is what anything else is.
const plainType = "application/octet-stream"

// sniff tells what bytes are by how they begin, among the few types that a
// browser shows without running anything in them. Names and what others say about
// them count for nothing: a page dressed up as a picture is not one.
func sniff(b []byte) string {
	starts := func(magic string) bool { return bytes.HasPrefix(b, []byte(magic)) }
	switch {
	case starts("\x89PNG\r\n\x1a\n"):
		return "image/png"
	case starts("\xff\xd8\xff"):
		return "image/jpeg"
	case starts("GIF87a"), starts("GIF89a"):
		return "image/gif"
	case starts("RIFF") && len(b) >= 16 && string(b[8:15]) == "WEBPVP8":
		return "image/webp"
	case len(b) >= 12 && string(b[4:8]) == "ftyp" && slices.Contains(mp4Brands, string(b[8:12])):
		return "video/mp4"
	case starts("#!AMR\n"), starts("#!AMR-WB\n"):
		return "audio/amr"
	case starts("ID3"), len(b) >= 2 && b[0] == 0xff && b[1]&0xe6 == 0xe2: // a frame of layer III
		return "audio/mpeg"
	case starts("%PDF-"):
		return "application/pdf"
	}
	return plainType
}

// mp4Brands are what phones and WeCom write; the same container also holds
// pictures (heic) and QuickTime.
var mp4Brands = []string{"isom", "iso2", "iso4", "iso5", "iso6", "mp41", "mp42", "avc1", "M4V ", "MSNV", "dash"}

// extensions are for names that WeCom did not give.
var extensions = map[string]string{
	"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp", "video/mp4": ".mp4",
	"audio/amr": ".amr", "audio/mpeg": ".mp3", "application/pdf": ".pdf",
}
