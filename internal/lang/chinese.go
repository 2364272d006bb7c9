package lang

// tables have the Chinese form of each English format, a table for each part of the program.
var tables = []map[string]string{
	sandboxTexts, auditTexts, jobsTexts, doctorTexts, alertTexts, helpTexts, commandsTexts, traceTexts, configTexts, statusTexts, listTexts, consoleTexts,
}

var chinese = merged()

func merged() map[string]string {
	all := map[string]string{}
	for _, table := range tables {
		for format, text := range table {
			all[format] = text
		}
	}
	return all
}
