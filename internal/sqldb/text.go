package sqldb

// IsBadText reports whether the server refused a text because of its characters or its length: a column's character set
// lacks some of them, the column is too short, or it is one of smaller numbers. The same statement never succeeds; with other texts it may.
func IsBadText(err error) bool {
	// 1265 and 1366: the value does not fit the column's type or character set; 1264: it is too large a number; 1406: too long
	// for the column; 1267, 1270,
	// 1271: compared with a column that cannot hold it ("illegal mix of collations"); 1300, 1977 (MariaDB), 3854, 3988:
	// no conversion between two character sets.
	return isNumber(err, 1264, 1265, 1267, 1270, 1271, 1300, 1366, 1406, 1977, 3854, 3988)
}
