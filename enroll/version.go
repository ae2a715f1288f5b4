package enroll

// OlderVersion says whether a system version ("17.4.1") is older than another.
// What is not a version is not older.
func OlderVersion(version, than string) bool {
	_, known := parseVersion(version)
	_, asked := parseVersion(than)
	return known && asked && compareVersion(version, than) < 0
}
