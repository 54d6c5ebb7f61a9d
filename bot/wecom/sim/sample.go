package sim

// Sample is a small corporation to try a service desk on.
func Sample() (people []Person, departments []Department) {
	return []Person{
			{ID: "lilei", Name: "李雷", Departments: []int{2}, Role: "坐席 agent", Hints: []string{"/status online", "/session list", "/status busy 30m 午饭", "/agents", "/login"}},
			{ID: "lucy", Name: "Lucy Green", Departments: []int{2}, Role: "坐席 agent", Hints: []string{"/lang en", "/status online", "/agents"}},
			{ID: "hanmeimei", Name: "韩梅梅", Departments: []int{3}, Role: "员工 user", Hints: []string{"/session 打印机卡纸了", "二楼那台", "/help", "/login"}},
			{ID: "boss", Name: "王芳", Departments: []int{1}, Role: "管理员 admin", Hints: []string{"/agents", "/session list", "/broadcast 今晚 20:00 VPN 维护", "/audit", "/login"}},
			{ID: "lintao", Name: "林涛", Departments: []int{3}, Role: "员工 user", Hints: []string{"/session list", "/help"}},
			{ID: "weihua", Name: "魏华", Departments: []int{3}, Role: "员工 user", Hints: []string{"/session", "/help"}},
			{ID: "jimgreen", Name: "Jim Green", Departments: []int{3}, Status: StatusDisabled, Role: "已停用 disabled", Hints: []string{"/help"}},
		}, []Department{
			{ID: 1, Name: "示例公司"}, {ID: 2, Name: "IT 服务台", Parent: 1}, {ID: 3, Name: "市场部", Parent: 1},
		}
}

// SampleTalk is what was said at that desk before anybody looks: one session that
// has ended, and one that goes on. Who is at the desk afterwards gets nothing new,
// and the people a newcomer plays have done nothing yet.
func SampleTalk() []Line {
	var script []Line
	for i, said := range [][2]string{
		{"lucy", "/status online"},
		{"lintao", "/session 显示器不亮"},
		{"lintao", "电源灯亮着，屏幕是黑的"},
		{"lucy", "请换一根视频线试试"},
		{"lintao", "换线就好了，谢谢！"},
		{"lucy", "/session close"},
		{"weihua", "/session 申请 VPN 账号"},
		{"weihua", "下周出差要用"},
		{"lucy", "好的，您用哪台电脑？"},
		{"weihua", "公司发的 ThinkPad"},
		{"lucy", "收到，今天下班前开通"}, // or it would be somebody else's in five minutes
		{"lucy", "/status busy"},
	} {
		script = append(script, Line{i + 1, said[0], said[1]})
	}
	return script
}
