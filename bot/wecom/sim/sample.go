package sim

// Sample is a small corporation to try a service desk on.
func Sample() (people []Person, departments []Department) {
	return []Person{
			{ID: "lilei", Name: "李雷", Departments: []int{2}, Role: "坐席 agent", Hints: []string{"/status busy 30m 午饭", "/agents", "/login"}},
			{ID: "lucy", Name: "Lucy Green", Departments: []int{2}, Role: "坐席 agent", Hints: []string{"/lang en", "/status online", "/agents"}},
			{ID: "hanmeimei", Name: "韩梅梅", Departments: []int{3}, Role: "员工 user", Hints: []string{"/help", "/login", "/whoami"}},
			{ID: "boss", Name: "王芳", Departments: []int{1}, Role: "管理员 admin", Hints: []string{"/agents", "/audit", "/login /admin/outbox"}},
			{ID: "jimgreen", Name: "Jim Green", Departments: []int{3}, Status: StatusDisabled, Role: "已停用 disabled", Hints: []string{"/help"}},
		}, []Department{
			{ID: 1, Name: "示例公司"}, {ID: 2, Name: "IT 服务台", Parent: 1}, {ID: 3, Name: "市场部", Parent: 1},
		}
}
